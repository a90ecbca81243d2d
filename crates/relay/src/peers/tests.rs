//! How peers are read, and how they are reached.

use super::*;

fn rules(has_tls: bool) -> Rules {
    Rules {
        has_tls,
        cluster: "default".to_owned(),
    }
}

fn shown(peer: &Peer) -> String {
    match &peer.target {
        Ok(target) if peer.tls_server_name.is_empty() => target.to_string(),
        Ok(target) => format!("{target} as {}", peer.tls_server_name),
        Err(reason) => format!("({reason})"),
    }
}

#[test]
fn addresses_are_read_as_hubble_reads_them() {
    let cases = [
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("/run/x.sock", "unix:///run/x.sock"),
        ("192.0.2.1:4999", "192.0.2.1:4999"),
        ("192.0.2.1:hubble", "192.0.2.1:4244"),
        ("192.0.2.1", "192.0.2.1:4244"),
        ("fd00::1", "[fd00::1]:4244"),
        ("[fd00::1]:1", "[fd00::1]:1"),
        ("[fd00::1]:hubble", "[fd00::1]:4244"),
        ("node-1", "node-1:4244"),
        ("node-1:1", "node-1:1"),
    ];
    for (address, expected) in cases {
        let target = rules(false).announced(address.into(), String::new()).target;
        assert_eq!(target.unwrap().to_string(), expected, "{address}");
    }
}

#[test]
fn an_announced_name_and_the_relays_certificates_go_together_or_there_is_no_connection() {
    let name = "b.default.hubble-grpc.cilium.io";
    let cases = [
        (false, "", "", "(no address is known)"),
        (false, "192.0.2.1", "", "192.0.2.1:4244"),
        (
            false,
            "192.0.2.1",
            name,
            "(unexpected TLS ServerName b.default.hubble-grpc.cilium.io for 192.0.2.1)",
        ),
        (
            true,
            "192.0.2.1",
            name,
            "tls://192.0.2.1:4244 as b.default.hubble-grpc.cilium.io",
        ),
        (
            true,
            "192.0.2.1",
            "",
            "(missing TLS ServerName for 192.0.2.1)",
        ),
        (true, "unix:///run/x.sock", name, "unix:///run/x.sock"),
    ];
    for (has_tls, address, server_name, expected) in cases {
        let peer = rules(has_tls).announced(address.into(), server_name.into());
        assert_eq!(shown(&peer), expected, "{has_tls} {address} {server_name}");
    }
}

#[test]
fn a_listed_peer_is_verified_by_the_rule_unless_it_says_its_name() {
    let cases = [
        (false, "a=192.0.2.1", "192.0.2.1:4244"),
        (
            false,
            "a=tls://a.example:1",
            "tls://a.example:1 as a.example",
        ),
        (
            true,
            "a.b=192.0.2.1",
            "tls://192.0.2.1:4244 as a-b.default.hubble-grpc.cilium.io",
        ),
        (
            true,
            "east/a=tls://a.example:1",
            "tls://a.example:1 as a.east.hubble-grpc.cilium.io",
        ),
        (
            true,
            "east=relay.east:4245,server-name=ui.hubble-relay.cilium.io",
            "tls://relay.east:4245 as ui.hubble-relay.cilium.io",
        ),
        (true, "a=unix:///run/x.sock", "unix:///run/x.sock"),
    ];
    for (has_tls, text, expected) in cases {
        let peer = rules(has_tls).listed(text.parse().unwrap());
        assert_eq!(shown(&peer), expected, "{has_tls} {text}");
    }
}

#[test]
fn an_address_that_stands_for_a_name_is_one_label_of_a_server_name() {
    let expected = "fd00--1.default.hubble-grpc.cilium.io";
    assert_eq!(server_name("fd00::1", "default"), expected);
    let expected = "192-0-2-1.a-b.hubble-grpc.cilium.io";
    assert_eq!(server_name("192.0.2.1", "a.b"), expected);
}

#[test]
fn a_refused_peer_text_says_what_was_expected() {
    for text in ["", "node-1", "=192.0.2.1", "node-1=", "a=b,server-name="] {
        let error = text.parse::<StaticPeer>().unwrap_err().to_string();
        assert!(error.contains("expected NAME=ADDRESS"), "{error}");
    }
    let error = "a=b:http".parse::<StaticPeer>().unwrap_err().to_string();
    assert!(
        error.contains("\"a=b:http\"") && error.contains("\"http\""),
        "{error}"
    );
}

use flow_filter::TcpFlags;
use proptest::prelude::*;

use super::*;

fn tcp(destination_port: u16) -> Transport {
    Transport::Tcp {
        source_port: 40_000,
        destination_port,
        flags: TcpFlags::from_bits(0x18),
    }
}

fn udp(source_port: u16, destination_port: u16) -> Transport {
    Transport::Udp {
        source_port,
        destination_port,
    }
}

/// A query for the address of `name`, in wire form.
fn dns(flags: u8, name: &[u8]) -> Vec<u8> {
    let head = [0, 7, flags, 3, 0, 1, 0, 0, 0, 0, 0, 0];
    [&head, name, &[0, 1, 0, 1]].concat()
}

fn summary(transport: Transport, payload: &[u8]) -> Option<ApplicationSummary> {
    parse(&transport, payload, &mut Scratch::default())
        .unwrap()
        .and_then(|application| application.summary())
}

fn line(transport: Transport, payload: &[u8]) -> String {
    summary(transport, payload).map_or_else(|| "nothing".to_owned(), |it| it.to_string())
}

#[test]
fn each_protocol_is_told_in_one_line() {
    let query = dns(1, b"\x03WWW\x07Example\x03com\0");
    let answer = dns(0x81, b"\x03www\x07example\x03com\0");
    let framed = [&[0, query.len() as u8], query.as_slice()].concat();
    let hello = tls::tests::records("Example.com", 1000);
    let get = b"GET /path?token=secret HTTP/1.1\r\nHost: example.com\r\n\r\n";
    let cases: [(Transport, &[u8], &str); 8] = [
        (udp(999, 53), &query, "DNS query www.example.com A"),
        (
            udp(53, 999),
            &answer,
            "DNS answer www.example.com A: code 3",
        ),
        (tcp(53), &framed, "DNS query www.example.com A"),
        (udp(999, 53), &dns(1, b"\0"), "DNS query . A"),
        (tcp(9999), &hello, "TLS example.com (h2)"),
        (tcp(9999), get, "GET example.com/path"),
        (tcp(9999), b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP 404"),
        (tcp(9999), b"HEAD /cu", "HEAD"),
    ];
    for (transport, payload, expected) in cases {
        assert_eq!(line(transport, payload), expected);
    }
}

#[test]
fn a_server_is_known_by_the_name_that_its_client_says() {
    let hello = tls::tests::records("Example.com", 1000);
    let summary = summary(tcp(443), &hello).unwrap();
    assert_eq!(summary.name(), Some("example.com"));
}

#[test]
fn what_is_of_no_protocol_that_is_read_is_nothing() {
    let query = dns(1, b"\x01a\0");
    let cases: [(Transport, &[u8]); 6] = [
        (tcp(443), b""),
        (tcp(22), b"SSH-2.0-OpenSSH_10.0\r\n"),
        (udp(999, 999), &query),
        // Multicast DNS names what is near, which is not what is asked of a resolver.
        (udp(5353, 5353), &query),
        // An update of a zone.
        (udp(999, 53), &dns(0x28, b"\x01a\0")),
        (Transport::Icmpv4 { kind: 8, code: 0 }, &query),
    ];
    for (transport, payload) in cases {
        assert_eq!(line(transport, payload), "nothing");
    }
}

#[test]
fn what_looks_like_a_protocol_and_is_not_is_an_error_with_a_reason() {
    let cases: [(Transport, &[u8], &str); 4] = [
        (udp(999, 53), b"too short", "cut_dns"),
        (udp(999, 53), &dns(1, &[0xc0, 12]), "malformed_dns"),
        (tcp(80), b"GET / HTTP/9.9\r\n\r\n", "malformed_http"),
        (tcp(80), &[22, 3, 1, 0, 0, 1], "malformed_tls"),
    ];
    for (transport, payload, reason) in cases {
        let error = parse(&transport, payload, &mut Scratch::default()).unwrap_err();
        assert_eq!(error.reason(), reason);
    }
}

#[test]
fn a_url_is_host_and_path_without_what_may_be_secret() {
    let host = Some("example.com");
    let proxied = Some("proxied.example");
    let cases = [
        ("GET /a#b", "example.com:80/a", host),
        (
            "GET http://user:password@Proxied.example/a?b",
            "proxied.example/a",
            proxied,
        ),
        ("GET http://proxied.example", "proxied.example", proxied),
        ("GET http://[::1]/a", "[::1]/a", Some("[::1]")),
        (
            "CONNECT far.example:443",
            "far.example:443",
            Some("far.example"),
        ),
        ("OPTIONS *", "*", None),
    ];
    for (line, expected, name) in cases {
        let payload = format!("{line} HTTP/1.1\r\nHost: Example.com:80\r\n\r\n");
        let summary = summary(tcp(80), payload.as_bytes()).unwrap();
        assert_eq!(summary.name(), name);
        let method = line.split(' ').next().unwrap();
        assert_eq!(summary.to_string(), format!("{method} {expected}"));
    }
}

#[test]
fn a_long_text_ends_in_dots() {
    let payload = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1000));
    let Some(ApplicationSummary::HttpRequest { url, .. }) = summary(tcp(80), payload.as_bytes())
    else {
        panic!("no request");
    };
    assert_eq!(url.chars().count(), 256);
    assert!(url.starts_with("a/xxx") && url.ends_with('…'));
}

#[test]
fn a_summary_stays_small() {
    assert!(size_of::<ApplicationSummary>() <= 40);
    assert!(size_of::<Application<'_>>() <= 200);
}

proptest! {
    #[test]
    fn no_payload_makes_it_panic(payload: Vec<u8>, port: u16, over_tcp: bool, is_dns: bool) {
        let port = if is_dns { 53 } else { port };
        let transport = if over_tcp { tcp(port) } else { udp(999, port) };
        if let Ok(Some(application)) = parse(&transport, &payload, &mut Scratch::default()) {
            drop(application.summary().map(|summary| summary.to_string()));
        }
    }
}

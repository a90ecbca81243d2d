use std::{fs, net::IpAddr};

use proptest::prelude::*;

use super::{parse::inventory as parse, *};
use crate::enrich::{Directory, facts::Port};

/// `LINE: message`, as it comes behind the file's name.
fn mistake(text: &str) -> String {
    let mistake = parse(text).unwrap_err();
    format!("{}: {}", mistake.line, mistake.message)
}

#[test]
fn an_inventory_lists_nodes_endpoints_prefixes_services_and_names() {
    let text = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/inventory.yaml"
    ))
    .unwrap();
    let inventory = parse(&text).unwrap();
    assert_eq!(
        inventory.nodes[0].ips[0],
        "192.0.2.11".parse::<IpAddr>().unwrap()
    );
    assert_eq!(inventory.nodes[0].labels["zone"], "a");
    let web = &inventory.endpoints[0];
    assert_eq!(web.ips[1], "fd00:1:1::10".parse::<IpAddr>().unwrap());
    assert_eq!(web.workload.as_ref().unwrap().kind, "StatefulSet");
    let db = &inventory.endpoints[1];
    assert_eq!((db.id, db.identity), (Some(7), Some(4_000)));
    assert_eq!(inventory.prefixes[0].cidr.to_string(), "198.51.100.0/24");
    let dns = &inventory.services[0];
    let udp = Port {
        ip: "10.96.0.10".parse().unwrap(),
        protocol: 17,
        port: 53,
    };
    assert_eq!((dns.name.as_str(), dns.frontends[0]), ("kube-dns", udp));
    assert_eq!(inventory.names[0].names, ["db.example.com"]);
}

#[test]
fn a_file_with_nothing_in_it_is_an_empty_inventory() {
    for text in ["", "\n", "# nothing yet\n", "---\n"] {
        assert_eq!(parse(text), Ok(Inventory::default()), "{text:?}");
    }
}

#[test]
fn a_mistake_is_told_with_its_line_what_came_and_what_was_expected() {
    for (text, expected) in [
        (
            "endpoints:\n  - pod: a\n    ips: [10.0.0.1,\n      10.0.0.300]\n",
            "4: invalid address \"10.0.0.300\", expected an IPv4 or IPv6 address",
        ),
        (
            "endpoints:\n  - ips: []\n    lables: {}\n",
            "3: unknown field \"lables\", did you mean \"labels\"?",
        ),
        (
            "hosts: []\n",
            "1: unknown field \"hosts\", expected nodes, endpoints, prefixes, services, names",
        ),
        ("nodes:\n  - ips: []\n", "2: field \"name\" is missing"),
        (
            "prefixes:\n  - name: office\n    cidr: 10.0.0.0/33\n",
            "3: invalid range \"10.0.0.0/33\", expected an address and a length, as in 10.0.0.0/8",
        ),
        (
            "services:\n  - name: dns\n    frontends: [\"10.0.0.1/udp\"]\n",
            "3: invalid port \"10.0.0.1/udp\", expected ADDRESS:PORT/PROTOCOL, as in \
             10.96.0.10:53/udp",
        ),
        (
            "endpoints:\n  - ips: [10.0.0.1]\n    pod: a\n    identity: 1\n",
            "4: identity 1 is reserved, expected 256 to 16777215",
        ),
        (
            "endpoints:\n  - ips: [10.0.0.1]\n    pod: a\n    id: 70000\n",
            "4: invalid id 70000, expected 1 to 65535",
        ),
        (
            "names:\n  - ips: [10.0.0.1]\n    names: [\"\"]\n",
            "3: invalid name \"\", expected 1 to 253 visible ASCII characters",
        ),
    ] {
        assert_eq!(mistake(text), expected, "{text}");
    }
}

#[test]
fn what_two_claim_is_told_with_both_lines() {
    for (text, expected) in [
        (
            "endpoints:\n  - { pod: a, ips: [10.0.0.1] }\n  - { pod: b, ips: [10.0.0.1] }\n",
            "3: address 10.0.0.1 is taken by line 2 already",
        ),
        (
            "endpoints:\n  - { pod: a, ips: [], id: 7 }\n  - { pod: b, ips: [], id: 7 }\n",
            "3: id 7 is taken by line 2 already",
        ),
        (
            "nodes:\n  - name: a\n  - name: a\n",
            "3: node a is taken by line 2 already",
        ),
        (
            "prefixes:\n  - cidr: 10.0.0.0/8\n  - cidr: 10.9.0.0/8\n",
            "3: range 10.0.0.0/8 is taken by line 2 already",
        ),
        (
            "services:\n  - { namespace: a, name: b }\n  - { namespace: a, name: b }\n",
            "3: service a/b is taken by line 2 already",
        ),
        (
            "services:\n  - { name: a, frontends: [\"10.0.0.1:80\"] }\n  \
             - { name: b, frontends: [\"10.0.0.1:80/TCP\"] }\n",
            "3: frontend 10.0.0.1:80 is taken by line 2 already",
        ),
    ] {
        assert_eq!(mistake(text), expected, "{text}");
    }
    let on_two_nodes = "endpoints:\n  - { pod: a, node: x, ips: [], id: 7 }\n  \
                        - { pod: b, node: y, ips: [], id: 7 }\n";
    assert!(parse(on_two_nodes).is_ok());
}

#[test]
fn text_that_is_no_yaml_is_told_with_its_line() {
    let error = mistake("endpoints:\n  - ips: [10.0.0.1\nnodes: {\n");
    assert!(error.starts_with(['2', '3', '4']), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn the_file_and_the_line_come_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hosts.yaml");
    fs::write(&path, "endpoints:\n  - ips: [x]\n").unwrap();
    let error = Inventory::read(&path).unwrap_err().to_string();
    let expected = format!("{}:2: invalid address \"x\"", path.display());
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn labels_have_their_usual_source_unless_they_name_another() {
    let inventory = parse(
        "endpoints:\n  - ips: [10.0.0.1]\n    pod: a\n    \
         labels: { app: web, \"container:runtime\": docker }\n",
    )
    .unwrap();
    let snapshot = Directory::new("n1", inventory).snapshot();
    let labels = &snapshot.endpoint("10.0.0.1".parse().unwrap()).labels;
    assert!(labels.contains(&"k8s:app=web".to_owned()), "{labels:?}");
    assert!(
        labels.contains(&"container:runtime=docker".to_owned()),
        "{labels:?}"
    );
}

#[test]
fn a_large_inventory_is_no_larger_than_its_file() {
    use std::fmt::Write as _;
    let mut text = "endpoints:\n".to_owned();
    for number in 0..60_000u32 {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        writeln!(
            text,
            "  - {{ ips: [{ip}], pod: pod-{number}, labels: {{ app: web }} }}"
        )
        .unwrap();
    }
    assert_eq!(parse(&text).unwrap().endpoints.len(), 60_000);
}

#[test]
fn aliases_do_not_make_much_of_little() {
    let mut text = "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
    for level in 1..12 {
        let before = format!("*x{}", level - 1);
        let ten = vec![before; 10].join(", ");
        text.push_str(&format!("x{level}: &x{level} [{ten}]\n"));
    }
    assert!(parse(&text).is_err());
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "[ -~\n]{0,200}", junk in "\\PC{0,60}") {
        drop(parse(&text));
        drop(parse(&format!("endpoints:\n  - ips: [{junk}]\n")));
        drop(parse(&format!("prefixes:\n  - cidr: {junk}\n")));
    }
}

//! Fields about the application protocol, and the protocol itself.

use flow_api::flow::{self, Flow, FlowFilter, Http, HttpHeader, layer4, layer7};

use crate::flows::{dns_query, filter, matches, strings, with_http, with_l4, with_l7};

#[test]
fn protocol_is_by_transport_or_application() {
    let udp = with_l4(layer4::Protocol::Udp(flow::Udp::default()));
    let icmpv6 = with_l4(layer4::Protocol::IcmPv6(flow::IcmPv6::default()));
    let http = with_http(Http::default());
    #[expect(
        deprecated,
        reason = "still part of the contract, and still filtered by"
    )]
    let kafka = with_l7(layer7::Record::Kafka(flow::Kafka::default()));
    for (keyword, flow, expected) in [
        ("udp", &udp, true),
        ("UDP", &udp, true),
        ("tcp", &udp, false),
        ("icmp", &icmpv6, true),
        ("icmpv6", &icmpv6, true),
        ("icmpv4", &icmpv6, false),
        ("http", &http, true),
        ("dns", &http, false),
        ("dns", &dns_query("a."), true),
        ("kafka", &kafka, true),
        (
            "vrrp",
            &with_l4(layer4::Protocol::Vrrp(flow::Vrrp::default())),
            true,
        ),
        (
            "igmp",
            &with_l4(layer4::Protocol::Igmp(flow::Igmp::default())),
            true,
        ),
        ("sctp", &Flow::default(), false),
    ] {
        let wanted = filter(|f| f.protocol = strings(&[keyword]));
        assert_eq!(matches(&wanted, flow), expected, "{keyword}");
    }
}

#[test]
fn dns_query_is_searched() {
    for (pattern, expected) in [
        ("ample", true),
        (r"\.$", true),
        ("^x", false),
        ("Example", false),
    ] {
        let wanted = filter(|f| f.dns_query = strings(&[pattern]));
        assert_eq!(
            matches(&wanted, &dns_query("example.com.")),
            expected,
            "{pattern}"
        );
    }
    let any = filter(|f| f.dns_query = strings(&[""]));
    assert!(matches(&any, &dns_query("")));
    assert!(!matches(&any, &with_http(Http::default())));
}

#[test]
fn http_fields_ask_for_parts_of_the_request() {
    let header = |key: &str, value: &str| HttpHeader {
        key: key.into(),
        value: value.into(),
    };
    let get = with_http(Http {
        code: 204,
        method: "GET".into(),
        url: "http://shop/a%20b?q=1".into(),
        headers: vec![header("Accept", "text/html"), header("Host", "shop")],
        ..Http::default()
    });
    type Change = Box<dyn Fn(&mut FlowFilter)>;
    let code =
        |code: &'static str| -> Change { Box::new(move |f| f.http_status_code = strings(&[code])) };
    let method =
        |method: &'static str| -> Change { Box::new(move |f| f.http_method = strings(&[method])) };
    let path = |path: &'static str| -> Change { Box::new(move |f| f.http_path = strings(&[path])) };
    let url = |url: &'static str| -> Change { Box::new(move |f| f.http_url = strings(&[url])) };
    let cases = [
        (code("204"), true),
        (code("2+"), true),
        (code("20+"), true),
        (code("21+"), false),
        (method("get"), true),
        (method("PUT"), false),
        (path("^/a b$"), true),
        (path("q=1"), false),
        (url(r"\?q=1$"), true),
        (url("a b"), false),
    ];
    for (change, expected) in cases {
        let wanted = filter(change);
        assert_eq!(matches(&wanted, &get), expected, "{wanted:?}");
        assert!(!matches(&wanted, &Flow::default()), "{wanted:?}");
    }
    for (wanted, expected) in [
        (header("Accept", "text/html"), true),
        (header("accept", "text/html"), false),
        (header("Accept", "shop"), false),
    ] {
        assert_eq!(
            matches(&filter(|f| f.http_header = vec![wanted]), &get),
            expected
        );
    }
}

#[test]
fn an_http_record_without_the_attribute_never_matches() {
    let empty = with_http(Http::default());
    type Change = fn(&mut FlowFilter);
    let changes: [Change; 4] = [
        |f| f.http_status_code = strings(&["1+", "2+", "3+", "4+", "5+"]),
        |f| f.http_method = strings(&[""]),
        |f| f.http_path = strings(&[""]),
        |f| f.http_url = strings(&[""]),
    ];
    for change in changes {
        assert!(!matches(&filter(change), &empty), "{:?}", filter(change));
    }
}

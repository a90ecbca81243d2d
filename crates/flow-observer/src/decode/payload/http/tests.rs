use proptest::prelude::*;

use super::*;

const GET: &[u8] = b"GET /path?key=1 HTTP/1.1\r\nAccept: */*\r\nhost: example.com\r\n\r\nbody";
const FOUND: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n";

#[test]
fn a_request_tells_method_target_version_and_host() {
    let request = request(GET).unwrap();
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, Some("/path?key=1"));
    assert_eq!(request.version.map(Version::as_str), Some("HTTP/1.1"));
    assert_eq!(request.host, Some("example.com"));
    assert!(!request.is_cut);
    let names: Vec<_> = request.headers().map(|header| header.name).collect();
    assert_eq!(names, ["Accept", "host"]);
}

#[test]
fn a_response_tells_its_code() {
    let response = response(FOUND).unwrap();
    assert_eq!((response.code, response.is_cut), (302, false));
    assert_eq!(response.headers().next().unwrap().value, b"/");
}

#[test]
fn only_what_begins_like_a_head_is_read() {
    let cases: [(&[u8], Option<Head>); 8] = [
        (GET, Some(Head::Request)),
        (FOUND, Some(Head::Response)),
        (b"OPTIONS * HTTP/1.1\r\n", Some(Head::Request)),
        (b"GETTING on", None),
        (b"get / HTTP/1.1\r\n", None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
        (b"SSH-2.0-OpenSSH_10.0\r\n", None),
        (b"", None),
    ];
    for (payload, head) in cases {
        assert_eq!(may_hold(payload), head, "{}", payload.escape_ascii());
    }
}

#[test]
fn a_request_cut_anywhere_tells_what_is_complete() {
    let head_len = GET.len() - b"body".len();
    for len in 0..head_len {
        let Ok(request) = request(&GET[..len]) else {
            assert!(len <= 3, "{len}");
            continue;
        };
        assert!(request.is_cut, "{len}");
        assert_eq!(request.method, "GET");
        assert_eq!(request.target.is_some(), len > 15, "{len}");
        assert!(request.target.is_none_or(|it| it == "/path?key=1"), "{len}");
        assert!(request.host.is_none_or(|it| it == "example.com"), "{len}");
    }
    assert_eq!(
        request(&GET[..head_len - 2]).unwrap().host,
        Some("example.com")
    );
}

#[test]
fn a_response_cut_anywhere_tells_its_code_once_it_is_there() {
    for len in 0..FOUND.len() {
        match response(&FOUND[..len]) {
            Ok(response) => assert!(response.is_cut && response.code == 302, "{len}"),
            Err(error) => assert!(len < 14 && error == CUT, "{len}: {error}"),
        }
    }
}

#[test]
fn a_header_that_nobody_should_send_does_not_hide_the_request() {
    let payload = b"GET / HTTP/1.0\r\nbad header\r\nHost: a\r\n\r\n";
    assert_eq!(request(payload).unwrap().host, Some("a"));
}

#[test]
fn more_headers_than_are_read_do_not_hide_the_request() {
    let payload = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(100)
    );
    let request = request(payload.as_bytes()).unwrap();
    assert_eq!((request.host, request.is_cut), (Some("a"), true));
    assert_eq!(request.headers().count(), MAX_HEADERS);
}

#[test]
fn what_is_not_http_after_all_is_refused() {
    for payload in [
        &b"GET it\x01self"[..],
        b"GET / HTTP/3.0\r\n",
        b"GET / RTSP/1.0\r\n",
    ] {
        let error = request(payload).unwrap_err();
        assert_eq!(error.reason(), "malformed_http");
    }
    assert!(response(b"HTTP/1.1 abc\r\n").is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, head in 0usize..3) {
        let payload = [[&b""[..], b"GET ", b"HTTP/1.1 "][head], &bytes].concat();
        if let Ok(request) = request(&payload) {
            request.headers().for_each(drop);
        }
        if let Ok(response) = response(&payload) {
            response.headers().for_each(drop);
        }
    }

    #[test]
    fn no_damage_to_a_request_makes_it_panic(at in 0usize..GET.len(), byte: u8) {
        let mut payload = GET.to_vec();
        payload[at] = byte;
        if let Ok(request) = request(&payload) {
            request.headers().for_each(drop);
        }
    }
}

use proptest::prelude::*;

use super::*;

fn vector16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(data)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &vector16(&[&[0], vector16(name).as_slice()].concat()))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[name.len() as u8], *name].concat())
        .collect();
    extension(16, &vector16(&list))
}

/// The handshake message of a ClientHello with these extensions.
fn hello_with(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(32);
    body.extend([9; 32]);
    body.extend([0, 4, 0x13, 1, 0x13, 2]);
    body.extend([1, 0]);
    body.extend(vector16(&extensions.concat()));
    let len = (body.len() as u32).to_be_bytes();
    [&[1], &len[1..], &body].concat()
}

/// A hello as a browser sends it.
pub(crate) fn hello(server_name: &str) -> Vec<u8> {
    hello_with(&[
        extension(0x1a1a, &[]),
        sni(server_name.as_bytes()),
        extension(43, &[6, 0x2a, 0x2a, 3, 4, 3, 3]),
        alpn(&[b"h2", b"http/1.1"]),
    ])
}

fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1], vector16(fragment).as_slice()].concat()
}

/// A hello in records of at most `len` bytes.
pub(crate) fn records(server_name: &str, len: usize) -> Vec<u8> {
    hello(server_name).chunks(len).flat_map(record).collect()
}

fn assert_is_whole(hello: &ClientHello<'_>) {
    assert_eq!(hello.server_name, Some("example.com"));
    let versions: Vec<_> = hello.versions().map(|it| it.to_string()).collect();
    assert_eq!(versions, ["TLS 1.3", "TLS 1.2"]);
    assert!(hello.alpn().eq([&b"h2"[..], b"http/1.1"]));
    assert!(!hello.may_be_encrypted && !hello.is_cut);
}

#[test]
fn a_hello_tells_server_versions_and_protocols() {
    let payload = records("example.com", 1000);
    assert!(may_hold(&payload));
    assert_is_whole(&parse(&payload, &mut Vec::new()).unwrap());
}

#[test]
fn a_hello_over_any_number_of_records_is_put_together() {
    let mut gathered = Vec::new();
    for len in 1..200 {
        let payload = records("example.com", len);
        assert_is_whole(&parse(&payload, &mut gathered).unwrap());
    }
}

#[test]
fn a_hello_cut_anywhere_tells_what_is_complete() {
    let whole = hello("example.com");
    for record_len in [1000, 40] {
        let payload = records("example.com", record_len);
        for len in 0..payload.len() {
            match parse(&payload[..len], &mut Vec::new()) {
                Ok(hello) => {
                    assert!(hello.is_cut, "{len}");
                    assert!(hello.server_name.is_none_or(|it| it == "example.com"));
                    // Two protocols or none: a list is read whole.
                    assert!([0, 2].contains(&hello.alpn().count()));
                }
                Err(error) => assert!(len < 11 && error == CUT, "{len}: {error}"),
            }
        }
    }
    // The list of protocols is the last extension, 18 bytes long.
    let cut = client_hello(&whole[..whole.len() - 18]).unwrap();
    assert_eq!(cut.server_name, Some("example.com"));
    assert_eq!((cut.versions().count(), cut.alpn().count()), (2, 0));
}

#[test]
fn a_hello_without_extensions_offers_one_version() {
    let mut old = hello_with(&[]);
    for with_extensions in [true, false] {
        let hello = client_hello(&old).unwrap();
        assert_eq!(hello.server_name, None);
        assert!(hello.versions().eq([Version(0x0303)]));
        if with_extensions {
            old.truncate(old.len() - 2);
            old[3] -= 2;
        }
    }
}

#[test]
fn an_encrypted_hello_is_seen() {
    let hello = hello_with(&[sni(b"outer.example"), extension(0xfe0d, &[0, 1, 2, 3])]);
    let hello = client_hello(&hello).unwrap();
    assert_eq!(hello.server_name, Some("outer.example"));
    assert!(hello.may_be_encrypted);
}

#[test]
fn only_a_record_with_a_hello_begins_like_one() {
    let cases: [(&[u8], bool); 6] = [
        (&[22, 3, 1, 0, 5, 1], true),
        (&[22, 3, 3, 0, 5, 2], false),
        (&[23, 3, 3, 0, 5, 1], false),
        (&[22, 2, 0, 0, 5, 1], false),
        (&[22, 3, 1, 0, 5], false),
        (b"GET / HTTP/1.1\r\n", false),
    ];
    for (payload, expected) in cases {
        assert_eq!(may_hold(payload), expected, "{payload:?}");
    }
}

#[test]
fn what_contradicts_the_protocol_is_refused() {
    let mut long_suites = hello("a");
    long_suites[4 + 35 + 32] = 0xff;
    let cases = [
        ("another message", record(&[2, 0, 0, 0])),
        ("an empty record", record(&[])),
        ("a record that is too long", vec![22, 3, 1, 0x40, 1, 1]),
        (
            "an alert between",
            [record(&[1, 0]), vec![21, 3, 1, 0, 2, 1, 0]].concat(),
        ),
        ("a length beyond the message", record(&long_suites)),
        ("an empty name", record(&hello_with(&[sni(b"")]))),
        ("a name with a space", record(&hello_with(&[sni(b"a b")]))),
        (
            "a name of 256 bytes",
            record(&hello_with(&[sni(&[b'a'; 256])])),
        ),
        (
            "half a version",
            record(&hello_with(&[extension(43, &[1, 3])])),
        ),
        ("an empty protocol", record(&hello_with(&[alpn(&[b""])]))),
    ];
    for (case, payload) in cases {
        let error = parse(&payload, &mut Vec::new()).unwrap_err();
        assert_eq!(error.reason(), "malformed_tls", "{case}");
    }
}

fn read_all(payload: &[u8]) {
    let mut gathered = Vec::new();
    let hellos = [parse(payload, &mut gathered), client_hello(payload)];
    for hello in hellos.into_iter().flatten() {
        hello.alpn().for_each(drop);
        hello.versions().for_each(drop);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        read_all(&bytes);
        read_all(&record(&bytes));
    }

    #[test]
    fn no_damage_to_a_hello_makes_it_panic(
        damage in prop::collection::vec((0usize..150, any::<u8>()), 1..4),
        record_len in 20usize..200,
    ) {
        let mut payload = records("example.com", record_len);
        for (at, byte) in damage {
            if let Some(damaged) = payload.get_mut(at) {
                *damaged = byte;
            }
        }
        read_all(&payload);
    }
}

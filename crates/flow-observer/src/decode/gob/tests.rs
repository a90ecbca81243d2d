//! Streams that Go's own encoder wrote, see `tests/data/gob/README.md`.

use super::*;

const SHAPES: &[u8] = include_bytes!("../../../tests/data/gob/shapes.gob");
const BARE_INT: &[u8] = include_bytes!("../../../tests/data/gob/bare_int.gob");
const BARE_STRINGS: &[u8] = include_bytes!("../../../tests/data/gob/bare_strings.gob");
const HTTP: &[u8] = include_bytes!("../../../tests/data/gob/http_request.gob");

fn show(value: Value<'_>) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    match value {
        Value::Bool(it) => it.to_string(),
        Value::Int(it) => it.to_string(),
        Value::Uint(it) => it.to_string(),
        Value::Float(it) => it.to_string(),
        Value::Bytes(it) => format!("<{}>", text(it)),
        Value::Text(it) => format!("{:?}", text(it)),
        Value::List(it) => format!("{:?}", it.iter().map(show).collect::<Vec<_>>()),
        Value::Map(it) => format!(
            "{:?}",
            it.iter()
                .map(|(key, value)| (show(key), show(value)))
                .collect::<Vec<_>>()
        ),
        Value::Struct(it) => format!(
            "{{{}}}",
            it.fields()
                .map(|(name, value)| format!("{name}: {}", show(value)))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Value::Other => "other".to_owned(),
    }
    .replace('\\', "")
}

fn shown(stream: &[u8]) -> Result<String, GobError> {
    let mut decoder = Decoder::default();
    let encoded = decoder.first(stream)?;
    decoder.value(encoded).map(show)
}

#[test]
fn every_kind_of_value_is_read_or_stepped_over() {
    let shown = shown(SHAPES).unwrap();
    for part in [
        "Bool: true",
        "Int: -1099511627776",
        "Uint: 18446744073709551615",
        "Float: 1.5",
        "Complex: other",
        "Bytes: <\u{1}\u{2}\u{3}>",
        r#"Text: "text""#,
        r#"Array: ["-1", "0", "1"]"#,
        r#"A: 1, B: [""x""]"#,
        r#"Map: [(""m"", "["1", "2"]")]"#,
        r#"Nested: [(""n"", "{A: 5}")]"#,
        "Interface: other",
        "URL: <http://user:secret@api.shop:8080/cart/7?item=3#top>",
        r#"Last: "reached""#,
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("Nil:"), "{shown}");
}

#[test]
fn a_value_that_is_no_struct_has_a_zero_before_it() {
    assert_eq!(shown(BARE_INT).unwrap(), "-129");
    assert_eq!(shown(BARE_STRINGS).unwrap(), r#"[""a"", ""b""]"#);
}

#[test]
fn a_stream_cut_anywhere_is_refused() {
    for stream in [SHAPES, HTTP] {
        let stream = if stream[0] == 129 {
            &stream[1..]
        } else {
            stream
        };
        for cut in 0..stream.len() {
            assert_eq!(shown(&stream[..cut]), Err(GobError::Cut), "cut at {cut}");
        }
    }
}

#[test]
fn a_message_over_the_bound_is_refused_before_it_is_waited_for() {
    let prefix = [0xfc, 0x00, 0x10, 0x00, 0x01];
    assert_eq!(
        message_length(&prefix),
        Err(GobError::TooLong {
            bytes: MAX_MESSAGE_BYTES as u64 + 1
        })
    );
    assert_eq!(
        message_length(&[0xfc, 0x00, 0x10, 0x00, 0x00]),
        Ok(Some((MAX_MESSAGE_BYTES, 5)))
    );
    assert_eq!(message_length(&[0xfc, 0x00]), Ok(None));
    assert_eq!(message_length(&[]), Ok(None));
}

#[test]
fn a_value_of_a_type_that_was_not_defined_is_refused() {
    let mut decoder = Decoder::default();
    let encoded = decoder.take(&[0xff, 0x82, 0]).unwrap().unwrap();
    assert_eq!(
        decoder.value(encoded).unwrap_err(),
        GobError::UnknownType { id: 65 }
    );
}

#[test]
fn a_type_that_holds_itself_ends_where_its_bytes_do_or_at_the_depth() {
    let mut decoder = Decoder::default();
    // Type 65 is a list of type 65.
    decoder.take(&[0xff, 0x81, 2, 2, 0xff, 0x82, 0, 0]).unwrap();
    let mut message = vec![0xff, 0x82, 0];
    message.extend([1; 40]);
    let encoded = decoder.take(&message).unwrap().unwrap();
    assert_eq!(
        decoder.value(encoded).unwrap_err(),
        GobError::TooDeep { limit: 16 }
    );
}

#[test]
fn definitions_are_bounded_over_a_whole_stream() {
    let mut decoder = Decoder::default();
    let result = (0..200).try_for_each(|number: u8| {
        let mut message = vec![0xfe, 1, number << 1 | 1, 3, 2, 1, 1, 0xfe, 1, 0xff];
        message.extend([b'x'; 511]);
        message.extend([1, 4, 0, 0, 0]);
        decoder.take(&message).map(drop)
    });
    assert_eq!(result, Err(GobError::TooManyTypes { limit: 65536 }));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        drop(shown(&bytes));
    }

    #[test]
    fn no_damage_to_a_stream_makes_the_decoder_panic(
        which in 0usize..3, at in 0usize..1700, byte: u8, second in 0usize..1700, other: u8,
    ) {
        let mut stream = [SHAPES, &HTTP[1..], BARE_STRINGS][which].to_vec();
        let len = stream.len();
        stream[at % len] = byte;
        stream[second % len] = other;
        drop(shown(&stream));
    }
}

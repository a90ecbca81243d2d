//! A connection to a monitor socket: any bytes are read, message by message, or refused.
#![no_main]

use flow_observer::decode::{
    cilium::Payload,
    gob::{self, Decoder, Value},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::default();
    let mut rest = bytes;
    while let Ok(Some((length, prefix))) = gob::message_length(rest) {
        let Some(message) = rest.get(prefix..prefix + length) else {
            return;
        };
        rest = &rest[prefix + length..];
        let Ok(taken) = decoder.take(message) else {
            return;
        };
        let Some(Ok(value)) = taken.map(|encoded| decoder.value(encoded)) else {
            continue;
        };
        let _ = Payload::of(value);
        walk(value);
    }
});

/// Looks at everything in a value.
fn walk(value: Value<'_>) {
    match value {
        Value::List(list) => list.iter().for_each(walk),
        Value::Map(map) => map.iter().for_each(|(key, value)| {
            walk(key);
            walk(value);
        }),
        Value::Struct(fields) => fields.fields().for_each(|(_, value)| walk(value)),
        _ => {}
    }
}

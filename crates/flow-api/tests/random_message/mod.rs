//! Messages made from random bytes by walking the contract's own descriptors: every field, enum
//! and oneof turns up, and a field that is added to the contract does too.

use std::{collections::HashMap, sync::LazyLock};

use flow_api::FILE_DESCRIPTOR_SET;
use prost::{
    Message as _,
    encoding::{self, WireType},
};
use prost_types::{
    Any, DescriptorProto, FieldDescriptorProto, FieldMask, FileDescriptorSet, Timestamp,
    field_descriptor_proto::{Label, Type},
};

/// Every message by its full name, nested ones too.
static MESSAGES: LazyLock<HashMap<String, DescriptorProto>> = LazyLock::new(|| {
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("built by this crate");
    let mut messages = HashMap::new();
    for file in descriptors.file {
        let package = file.package().to_owned();
        let mut pending: Vec<_> = file
            .message_type
            .into_iter()
            .map(|message| (package.clone(), message))
            .collect();
        while let Some((scope, message)) = pending.pop() {
            let name = format!("{scope}.{}", message.name());
            let nested = message.nested_type.iter().cloned();
            pending.extend(nested.map(|nested| (name.clone(), nested)));
            messages.insert(name, message);
        }
    }
    messages
});

/// Texts in which something is special.
const TEXTS: [&str; 8] = [
    "",
    "a",
    "k8s:app=web",
    "<&>\"\\/",
    "\n\r\t\u{8}\u{c}\0\u{1b}",
    "\u{2028}\u{2029}",
    "é🚀",
    "null",
];

/// Random bytes, used up from the front; when they are gone everything is zero, so that short input
/// means small messages.
pub(crate) struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    pub(crate) fn new(entropy: &'a [u8]) -> Self {
        Self { rest: entropy }
    }

    /// A message, encoded.
    pub(crate) fn message(&mut self, name: &str) -> Vec<u8> {
        let descriptor = MESSAGES
            .get(name)
            .unwrap_or_else(|| panic!("no message {name}"));
        let mut out = Vec::new();
        let chosen: Vec<usize> = descriptor
            .oneof_decl
            .iter()
            .map(|_| usize::from(self.byte()) % descriptor.field.len())
            .collect();
        for (index, field) in descriptor.field.iter().enumerate() {
            let elsewhere = field
                .oneof_index
                .is_some_and(|oneof| chosen[oneof as usize] != index);
            let count = if field.label() == Label::Repeated {
                self.byte() % 4
            } else {
                self.byte() % 2
            };
            for _ in 0..if elsewhere { 0 } else { count } {
                self.field(field, &mut out);
            }
        }
        out
    }

    fn field(&mut self, field: &FieldDescriptorProto, out: &mut Vec<u8>) {
        let number = field.number().unsigned_abs();
        match field.r#type() {
            Type::Bool => encoding::bool::encode(number, &(self.byte() % 2 == 1), out),
            Type::Double => encoding::double::encode(number, &self.double(), out),
            Type::Enum if self.byte() < 64 => {
                encoding::int32::encode(number, &(self.integer() as i32), out);
            }
            Type::Enum => encoding::int32::encode(number, &i32::from(self.byte()), out),
            Type::Int32 => encoding::int32::encode(number, &(self.integer() as i32), out),
            Type::Int64 => encoding::int64::encode(number, &(self.integer() as i64), out),
            Type::Message => {
                let message = self.nested(field.type_name().trim_start_matches('.'));
                encoding::encode_key(number, WireType::LengthDelimited, out);
                encoding::encode_varint(message.len() as u64, out);
                out.extend(message);
            }
            Type::String => encoding::string::encode(number, &self.text(), out),
            Type::Uint32 => encoding::uint32::encode(number, &(self.integer() as u32), out),
            Type::Uint64 => encoding::uint64::encode(number, &self.integer(), out),
            other => panic!("{}: the contract has no {other:?}", field.name()),
        }
    }

    /// Types of protobuf itself get only such values as JSON can say.
    fn nested(&mut self, name: &str) -> Vec<u8> {
        match name {
            "google.protobuf.Any" => self.any().encode_to_vec(),
            "google.protobuf.FieldMask" => {
                let paths = ["time", "source.pod_name", "IP", "l4.TCP.source_port"];
                let count = usize::from(self.byte()) % (paths.len() + 1);
                let paths = paths[..count]
                    .iter()
                    .map(|path| (*path).to_owned())
                    .collect();
                FieldMask { paths }.encode_to_vec()
            }
            "google.protobuf.Timestamp" => {
                let seconds = -62_135_596_800 + (self.integer() % 315_537_897_600) as i64;
                let nanos = match self.byte() % 4 {
                    0 => 0,
                    1 => i32::from(self.byte()) * 1_000_000,
                    2 => i32::from(self.byte()) * 1_000,
                    _ => (self.integer() % 1_000_000_000) as i32,
                };
                Timestamp { seconds, nanos }.encode_to_vec()
            }
            _ => self.message(name),
        }
    }

    fn any(&mut self) -> Any {
        match self.byte() % 3 {
            0 => Any::default(),
            1 => Any {
                type_url: "type.example/no.such.Message".to_owned(),
                value: self.integer().to_le_bytes().to_vec(),
            },
            _ => {
                let message = self.message("flow.Endpoint");
                let message = flow_api::flow::Endpoint::decode(message.as_slice());
                Any {
                    type_url: "type.googleapis.com/flow.Endpoint".to_owned(),
                    // Again, so that the fields stand in the order in which we encode them.
                    value: message.expect("made by the descriptor").encode_to_vec(),
                }
            }
        }
    }

    fn text(&mut self) -> String {
        let byte = self.byte();
        match TEXTS.get(usize::from(byte % 16)) {
            Some(text) => (*text).to_owned(),
            None => (0..byte % 5)
                .map(|_| char::from_u32((self.integer() % 0x11_0000) as u32).unwrap_or('?'))
                .collect(),
        }
    }

    /// Any bits, but only one kind of NaN, since JSON knows only one.
    fn double(&mut self) -> f64 {
        let double = f64::from_bits(self.integer());
        if double.is_nan() { f64::NAN } else { double }
    }

    /// Of a random size, so that small ones are not rare.
    fn integer(&mut self) -> u64 {
        let bytes = [(); 8].map(|()| self.byte());
        u64::from_le_bytes(bytes) >> (self.byte() % 64)
    }

    fn byte(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        *first
    }
}

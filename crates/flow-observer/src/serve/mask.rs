//! Field masks: the wanted parts of an encoded flow.
//!
//! A mask becomes a tree of field numbers, and masking is a walk over the flow's bytes that copies
//! what is in the tree. Nothing is decoded.

use std::{collections::BTreeMap, sync::OnceLock};

use flow_api::FILE_DESCRIPTOR_SET;
use prost::{
    Message as _,
    bytes::{Buf as _, Bytes},
    encoding::{decode_varint, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// Which fields of a flow a reader wants.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mask {
    fields: BTreeMap<u32, Wanted>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Wanted {
    Whole,
    Parts(Mask),
}

/// The mask names a field that a flow does not have. Hubble says no more than this.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid fieldmask")]
pub(crate) struct InvalidMask;

impl Mask {
    /// Compiles the paths of a mask; `None` when there are none, which asks for everything.
    pub(crate) fn compile(paths: &[String]) -> Result<Option<Self>, InvalidMask> {
        if paths.is_empty() {
            return Ok(None);
        }
        let mut mask = Self::default();
        for path in paths {
            mask.add("flow.Flow", path)?;
        }
        Ok(Some(mask))
    }

    /// Whether a top level field is wanted.
    pub(crate) fn has(&self, name: &str) -> bool {
        field_of("flow.Flow", name)
            .and_then(|field| self.fields.get(&(field.number() as u32)))
            .is_some()
    }

    fn add(&mut self, message: &str, path: &str) -> Result<(), InvalidMask> {
        let (name, rest) = path
            .split_once('.')
            .map_or((path, None), |(a, b)| (a, Some(b)));
        let field = field_of(message, name).ok_or(InvalidMask)?;
        let number = field.number() as u32;
        let Some(rest) = rest else {
            // A parent swallows the children that came before it.
            self.fields.insert(number, Wanted::Whole);
            return Ok(());
        };
        if field.r#type() != Type::Message || field.label() == Label::Repeated {
            return Err(InvalidMask);
        }
        let child = field.type_name().trim_start_matches('.');
        match self
            .fields
            .entry(number)
            .or_insert_with(|| Wanted::Parts(Self::default()))
        {
            // The path still has to be one.
            Wanted::Whole => Self::default().add(child, rest),
            Wanted::Parts(parts) => parts.add(child, rest),
        }
    }

    /// The wanted parts of an encoded message, as an encoded message. A parent of which only parts
    /// are wanted is there even if it is empty, as in Hubble.
    pub(crate) fn apply(&self, message: &Bytes) -> Vec<u8> {
        let mut masked = Vec::with_capacity(message.len());
        let mut missing: Vec<u32> = self
            .fields
            .iter()
            .filter(|(_, wanted)| matches!(wanted, Wanted::Parts(_)))
            .map(|(&number, _)| number)
            .collect();
        let mut rest = message.clone();
        // The bytes are our own encoding; should they ever be cut, what came before is sent.
        while let Some((number, tag_and_value, value)) = next_field(&mut rest) {
            match self.fields.get(&number) {
                None => {}
                Some(Wanted::Whole) => masked.extend_from_slice(&tag_and_value),
                Some(Wanted::Parts(parts)) => {
                    missing.retain(|&parent| parent != number);
                    put_message(number, &parts.apply(&value), &mut masked);
                }
            }
        }
        for parent in missing {
            put_message(parent, &[], &mut masked);
        }
        masked
    }
}

/// Takes one field off an encoded message: its number, all its bytes, and, for a length-delimited
/// one, its value.
fn next_field(rest: &mut Bytes) -> Option<(u32, Bytes, Bytes)> {
    let whole = rest.clone();
    let tag = decode_varint(rest).ok()?;
    let mut value = Bytes::new();
    match tag & 7 {
        0 => drop(decode_varint(rest).ok()?),
        1 if rest.len() >= 8 => rest.advance(8),
        2 => {
            let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
            if length > rest.len() {
                return None;
            }
            value = rest.split_to(length);
        }
        5 if rest.len() >= 4 => rest.advance(4),
        _ => return None,
    }
    let length = whole.len() - rest.len();
    Some(((tag >> 3) as u32, whole.slice(..length), value))
}

fn put_message(number: u32, message: &[u8], into: &mut Vec<u8>) {
    encode_varint(u64::from(number) << 3 | 2, into);
    encode_varint(message.len() as u64, into);
    into.extend_from_slice(message);
}

/// A field by its proto name.
fn field_of(message: &str, name: &str) -> Option<&'static FieldDescriptorProto> {
    static MESSAGES: OnceLock<BTreeMap<String, DescriptorProto>> = OnceLock::new();
    let messages = MESSAGES.get_or_init(|| {
        // Compiled in, and read by every test; an empty set would refuse every mask.
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
        let mut messages = BTreeMap::new();
        for file in files.file {
            for message in &file.message_type {
                collect(file.package(), message, &mut messages);
            }
        }
        messages
    });
    messages
        .get(message)?
        .field
        .iter()
        .find(|field| field.name() == name)
}

fn collect(scope: &str, message: &DescriptorProto, into: &mut BTreeMap<String, DescriptorProto>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, into);
    }
    into.insert(name, message.clone());
}

#[cfg(test)]
mod tests {
    use flow_api::flow::{Endpoint, Flow, Ip, Verdict};

    use super::*;

    fn flow() -> Flow {
        Flow {
            uuid: "u".to_owned(),
            verdict: Verdict::Dropped.into(),
            ip: Some(Ip {
                source: "10.0.0.1".to_owned(),
                ..Ip::default()
            }),
            source: Some(Endpoint {
                identity: 7,
                labels: vec!["a".to_owned(), "b".to_owned()],
                pod_name: "web-0".to_owned(),
                ..Endpoint::default()
            }),
            node_name: "node-1".to_owned(),
            ..Flow::default()
        }
    }

    fn masked(paths: &[&str]) -> Flow {
        let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        let mask = Mask::compile(&paths).unwrap().unwrap();
        Flow::decode(mask.apply(&flow().encode_to_vec().into()).as_slice()).unwrap()
    }

    #[test]
    fn only_what_the_mask_names_is_left() {
        let expected = Flow {
            verdict: Verdict::Dropped.into(),
            source: Some(Endpoint {
                labels: vec!["a".to_owned(), "b".to_owned()],
                pod_name: "web-0".to_owned(),
                ..Endpoint::default()
            }),
            ..Flow::default()
        };
        assert_eq!(
            masked(&["verdict", "source.pod_name", "source.labels"]),
            expected
        );
    }

    #[test]
    fn a_parent_swallows_its_children_in_either_order() {
        assert_eq!(masked(&["IP", "IP.source"]), masked(&["IP.source", "IP"]));
        assert_eq!(masked(&["IP"]).ip, flow().ip);
    }

    #[test]
    fn a_parent_whose_parts_are_wanted_is_there_even_if_empty() {
        assert_eq!(
            masked(&["destination.identity"]).destination,
            Some(Endpoint::default())
        );
    }

    #[test]
    fn a_path_that_no_flow_has_is_refused() {
        for path in [
            "",
            "nope",
            "ip",
            "source.nope",
            "uuid.x",
            "source_names.x",
            "IP.",
            "source.",
        ] {
            assert_eq!(
                Mask::compile(&[path.to_owned()]),
                Err(InvalidMask),
                "{path}"
            );
        }
        assert_eq!(Mask::compile(&[]), Ok(None));
    }
}

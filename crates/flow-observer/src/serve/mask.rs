//! Field masks: which fields of a flow a reader wants.
//!
//! A mask becomes a tree of field numbers. Of a record, only the fields in the tree are encoded
//! ([`Select`]); of a flow that is a message, a walk over its bytes copies them. Nothing is decoded.

use std::{collections::BTreeMap, sync::OnceLock};

use flow_api::FILE_DESCRIPTOR_SET;
use prost::{
    Message as _,
    bytes::Buf as _,
    encoding::{decode_varint, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::encode::Select;

/// Which fields of a flow a reader wants.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mask {
    /// By number.
    fields: Vec<(u32, Wanted)>,
    /// Bit N is field N, for the numbers below 64: most fields are not wanted, and are seen here not to
    /// be.
    low: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Wanted {
    Whole,
    Parts(Mask),
}

/// What a mask wants of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice<'a> {
    Whole,
    Parts(&'a Mask),
}

impl Select for Choice<'_> {
    #[inline]
    fn field(self, number: u32) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::Whole),
            Self::Parts(mask) => mask.field(number),
        }
    }

    #[inline]
    fn is_parts(self) -> bool {
        matches!(self, Self::Parts(_))
    }
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

    /// What is wanted of a field; `None` for nothing.
    #[inline]
    fn field(&self, number: u32) -> Option<Choice<'_>> {
        if number < u64::BITS && self.low >> number & 1 == 0 {
            return None;
        }
        let index = self.index(number).ok()?;
        Some(match &self.fields[index].1 {
            Wanted::Whole => Choice::Whole,
            Wanted::Parts(parts) => Choice::Parts(parts),
        })
    }

    fn index(&self, number: u32) -> Result<usize, usize> {
        self.fields.binary_search_by_key(&number, |field| field.0)
    }

    /// The field, for more to be wanted of it.
    fn entry(&mut self, number: u32) -> &mut Wanted {
        let index = self.index(number).unwrap_or_else(|index| {
            let nothing = Wanted::Parts(Self::default());
            self.fields.insert(index, (number, nothing));
            if number < u64::BITS {
                self.low |= 1 << number;
            }
            index
        });
        &mut self.fields[index].1
    }

    fn add(&mut self, message: &str, path: &str) -> Result<(), InvalidMask> {
        let (name, rest) = path
            .split_once('.')
            .map_or((path, None), |(a, b)| (a, Some(b)));
        let field = field_of(message, name).ok_or(InvalidMask)?;
        let number = field.number() as u32;
        let Some(rest) = rest else {
            // A parent swallows the children that came before it.
            *self.entry(number) = Wanted::Whole;
            return Ok(());
        };
        if field.r#type() != Type::Message || field.label() == Label::Repeated {
            return Err(InvalidMask);
        }
        let child = field.type_name().trim_start_matches('.');
        match self.entry(number) {
            // The path still has to be one.
            Wanted::Whole => Self::default().add(child, rest),
            Wanted::Parts(parts) => parts.add(child, rest),
        }
    }

    /// The wanted parts of an encoded message, as an encoded message. A parent of which only parts
    /// are wanted is there even if it is empty, as in Hubble.
    pub(crate) fn apply(&self, message: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(message.len());
        // Those that the message lacks come first: of fields that exclude each other, the last one
        // counts.
        for (parent, wanted) in &self.fields {
            let mut rest = message;
            let mut numbers = std::iter::from_fn(|| next_field(&mut rest));
            if matches!(wanted, Wanted::Parts(_)) && numbers.all(|(number, ..)| number != *parent) {
                put_message(*parent, &[], &mut masked);
            }
        }
        let mut rest = message;
        // The bytes are our own encoding; should they ever be cut, what came before is sent.
        while let Some((number, tag_and_value, value)) = next_field(&mut rest) {
            match self.field(number) {
                None => {}
                Some(Choice::Whole) => masked.extend_from_slice(tag_and_value),
                Some(Choice::Parts(parts)) => {
                    put_message(number, &parts.apply(value), &mut masked);
                }
            }
        }
        masked
    }
}

/// Takes one field off an encoded message: its number, all its bytes, and, for a length-delimited
/// one, its value.
fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8], &'a [u8])> {
    let whole = *rest;
    let tag = decode_varint(rest).ok()?;
    let mut value = &[][..];
    match tag & 7 {
        0 => drop(decode_varint(rest).ok()?),
        1 if rest.len() >= 8 => rest.advance(8),
        2 => {
            let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
            (value, *rest) = rest.split_at_checked(length)?;
        }
        5 if rest.len() >= 4 => rest.advance(4),
        _ => return None,
    }
    Some(((tag >> 3) as u32, &whole[..whole.len() - rest.len()], value))
}

fn put_message(number: u32, message: &[u8], into: &mut Vec<u8>) {
    encode_varint(u64::from(number) << 3 | 2, into);
    encode_varint(message.len() as u64, into);
    into.extend_from_slice(message);
}

/// A field by its proto name.
fn field_of(message: &str, name: &str) -> Option<&'static FieldDescriptorProto> {
    let fields = &messages().get(message)?.field;
    fields.iter().find(|field| field.name() == name)
}

/// The messages of the contract, by full name.
fn messages() -> &'static BTreeMap<String, DescriptorProto> {
    static MESSAGES: OnceLock<BTreeMap<String, DescriptorProto>> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        // Compiled in, and read by every test; an empty set would refuse every mask.
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
        let mut messages = BTreeMap::new();
        for file in files.file {
            for message in &file.message_type {
                collect(file.package(), message, &mut messages);
            }
        }
        messages
    })
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
    use flow_api::{
        flow::{self, Endpoint, Flow, Ip, Verdict},
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::encode::{NodeFacts, Surroundings, Writer, put_record, tests::record};

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
        Flow::decode(mask.apply(&flow().encode_to_vec()).as_slice()).unwrap()
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
    fn of_fields_that_exclude_each_other_the_flows_own_counts() {
        let paths = ["l4.TCP.flags", "l4.UDP.source_port"].map(str::to_owned);
        let mask = Mask::compile(&paths).unwrap().unwrap();
        let udp = flow::Udp {
            source_port: 53,
            destination_port: 0,
        };
        let flow = Flow {
            l4: Some(flow::Layer4 {
                protocol: Some(flow::layer4::Protocol::Udp(udp)),
            }),
            ..Flow::default()
        };
        let masked = Flow::decode(&*mask.apply(&flow.encode_to_vec())).unwrap();
        assert_eq!(masked, flow);
    }

    /// Every path of a flow, two levels deep.
    fn all_paths() -> Vec<String> {
        let mut paths = Vec::new();
        for name in names_of("flow.Flow") {
            let field = field_of("flow.Flow", &name).unwrap();
            if field.r#type() == Type::Message && field.label() != Label::Repeated {
                for part in names_of(field.type_name().trim_start_matches('.')) {
                    paths.push(format!("{name}.{part}"));
                }
            }
            paths.push(name);
        }
        paths.extend(
            ["l4.TCP.flags.SYN", "l4.UDP.source_port", "tunnel.IP.source"].map(str::to_owned),
        );
        paths
    }

    fn names_of(message: &str) -> Vec<String> {
        let fields = &messages()[message].field;
        fields.iter().map(|field| field.name().to_owned()).collect()
    }

    proptest! {
        #[test]
        fn a_masked_record_is_what_masking_its_bytes_leaves(
            seed: u64,
            paths in prop::sample::subsequence(all_paths(), 1..12).prop_shuffle(),
        ) {
            let node = NodeFacts { name: "node-1".to_owned(), directory: None };
            let around = Surroundings::now(&node);
            let mask = Mask::compile(&paths).unwrap().unwrap();
            let flow = |select| {
                let mut bytes = Vec::new();
                let writer = &mut Writer::new(&mut bytes);
                put_record(&record(seed), &around, select, &[], writer);
                let response = GetFlowsResponse::decode(&*bytes).unwrap();
                match response.response_types {
                    Some(ResponseTypes::Flow(flow)) => flow,
                    other => panic!("{other:?}"),
                }
            };
            let whole = flow(Choice::Whole).encode_to_vec();
            let expected = Flow::decode(&*mask.apply(&whole)).unwrap();
            prop_assert_eq!(flow(Choice::Parts(&mask)), expected);
        }
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

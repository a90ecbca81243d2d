//! Fields that the contract does not have, for whoever may not overlook them as decoders do.

use super::{DEPTH, Json, Kind, Shape, next_field, varint};

/// The number of the first field of an encoded message that the contract does not have, also of the
/// messages in it. `None` where it has them all, and from where on the bytes are no message: whoever
/// decodes them says so.
#[must_use]
pub fn unknown_field_number<T: Json>(bytes: &[u8]) -> Option<u32> {
    unknown_number(T::shape(), bytes, DEPTH)
}

fn unknown_number(shape: &Shape, bytes: &[u8], depth: u32) -> Option<u32> {
    let depth = depth.checked_sub(1)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let number = (varint(&mut &*rest).ok()? >> 3) as u32;
        // Before its value is read, which may be a group: decoders step over those.
        let Some(index) = shape.find(number) else {
            return Some(number);
        };
        let (tag, length) = next_field(&mut rest).ok()?;
        if let Kind::Message(shape) = shape.fields[index].kind
            && tag & 7 == 2
        {
            let end = bytes.len() - rest.len();
            let within = unknown_number(shape(), &bytes[end - length..end], depth);
            if within.is_some() {
                return within;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::flow::{FlowFilter, Workload, flow_filter::Experimental};

    fn filter() -> FlowFilter {
        FlowFilter {
            source_pod: vec!["shop/web".to_owned()],
            reply: vec![true, false],
            source_workload: vec![Workload {
                name: "web".to_owned(),
                kind: "Deployment".to_owned(),
            }],
            experimental: Some(Experimental {
                cel_expression: vec!["true".to_owned()],
            }),
            ..FlowFilter::default()
        }
    }

    #[test]
    fn a_field_that_is_unknown_is_found_by_its_number_wherever_it_is() {
        let known = filter().encode_to_vec();
        assert_eq!(unknown_field_number::<FlowFilter>(&known), None);
        assert_eq!(unknown_field_number::<FlowFilter>(&[]), None);
        // Number 500 as a varint, a text, and a group with something in it.
        let fields: [&[u8]; 3] = [
            &[0xa0, 0x1f, 1],
            &[0xa2, 0x1f, 2, b'a', b'b'],
            &[0xa3, 0x1f, 0x08, 1, 0xa4, 0x1f],
        ];
        for field in fields {
            FlowFilter::decode(field).expect("decoders step over it");
            for bytes in [
                field.to_vec(),
                [field, &known].concat(),
                [&known, field].concat(),
            ] {
                assert_eq!(unknown_field_number::<FlowFilter>(&bytes), Some(500));
            }
            // In the experimental part, which is number 999, and in a workload, which is number 26.
            for prefix in [[0xba, 0x3e], [0xd2, 0x01]] {
                let length = u8::try_from(field.len()).unwrap();
                let bytes = [&known, &prefix[..], &[length], field].concat();
                assert_eq!(unknown_field_number::<FlowFilter>(&bytes), Some(500));
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_for_decoders_to_refuse() {
        let bytes = filter().encode_to_vec();
        for len in 0..bytes.len() {
            assert_eq!(unknown_field_number::<FlowFilter>(&bytes[..len]), None);
        }
    }
}

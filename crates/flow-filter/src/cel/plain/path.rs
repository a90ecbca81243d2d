//! One field of a flow by its name, and its value as text.

use flow_api::flow::Flow;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};

use super::names::{self, Meaning};
use super::rewrite::WITH_PORTS;
use super::sort::Sort;
use super::{WhereError, no_declarations};
use crate::cel::schema::Schema;
use crate::cel::time::Timestamp;
use crate::view::Side;

/// A field of a flow, under the names that a [`Where`](super::Where) knows: `verdict`,
/// `source.port`, `l4.TCP.flags.SYN`.
#[derive(Clone, Debug)]
pub struct FieldPath {
    /// Of several fields at most one has a value.
    ways: Vec<Vec<FieldDescriptor>>,
}

impl FieldPath {
    /// Finds a field by its name.
    ///
    /// # Errors
    /// There is no such field, or it holds more than one value.
    pub fn parse(name: &str) -> Result<Self, WhereError> {
        let flow = Schema::get().and_then(Schema::flow);
        let flow = flow.ok_or_else(no_declarations)?;
        let parts: Vec<&str> = name.split('.').collect();
        let meaning =
            names::meaning(&flow, &parts).map_err(|unknown| WhereError(unknown.problem))?;
        let ways = match meaning {
            Meaning::Fields(fields) => vec![fields],
            Meaning::Port(side) => {
                let port = match side {
                    Side::Source => "source_port",
                    Side::Destination => "destination_port",
                };
                let way = |protocol| names::meaning(&flow, &["l4", protocol, port]);
                let ways = WITH_PORTS
                    .into_iter()
                    .filter_map(|protocol| way(protocol).ok());
                ways.filter_map(|meaning| match meaning {
                    Meaning::Fields(fields) => Some(fields),
                    Meaning::Port(_) => None,
                })
                .collect()
            }
        };
        let sort = ways.first().and_then(|way| way.last()).map(Sort::of_field);
        let is_value = match &sort {
            Some(Sort::List(element)) => !matches!(**element, Sort::Message(_) | Sort::Other),
            Some(Sort::Message(_) | Sort::Other) | None => false,
            Some(_) => true,
        };
        if is_value {
            return Ok(Self { ways });
        }
        let problem = format!("'{name}' is more than one value, name one of its fields");
        Err(WhereError(problem))
    }

    /// The fields that it is read from, as paths of a field mask.
    #[must_use]
    pub fn mask(&self) -> Vec<String> {
        self.ways.iter().map(|way| names::path(way)).collect()
    }

    /// The values of fields in a flow, in their order: empty for what is not there, with `;` between
    /// those of a list.
    pub fn texts<'p>(paths: impl IntoIterator<Item = &'p Self>, flow: &Flow) -> Vec<String> {
        let mut paths = paths.into_iter().peekable();
        if paths.peek().is_none() {
            return Vec::new();
        }
        let message = Schema::get().and_then(Schema::flow).and_then(|descriptor| {
            let encoded = flow.encode_to_vec();
            DynamicMessage::decode(descriptor, &*encoded).ok()
        });
        let text = |path: &Self| {
            let message = message.as_ref()?;
            path.ways.iter().find_map(|way| value(message, way))
        };
        paths.map(|path| text(path).unwrap_or_default()).collect()
    }
}

fn value(message: &DynamicMessage, way: &[FieldDescriptor]) -> Option<String> {
    let (last, before) = way.split_last()?;
    let mut message = std::borrow::Cow::Borrowed(message);
    for field in before {
        if !message.has_field(field) {
            return None;
        }
        let next = match message.get_field(field).as_message() {
            Some(next) => next.clone(),
            None => return None,
        };
        message = std::borrow::Cow::Owned(next);
    }
    // A number that is not there is 0, unless its field tells the two apart.
    if last.supports_presence() && !message.has_field(last) {
        return None;
    }
    text(last, &message.get_field(last))
}

fn text(field: &FieldDescriptor, value: &Value) -> Option<String> {
    Some(match value {
        Value::Bool(value) => value.to_string(),
        Value::EnumNumber(number) => {
            let kind = field.kind();
            let names = kind.as_enum()?;
            match names.get_value(*number) {
                Some(value) => value.name().to_owned(),
                None => number.to_string(),
            }
        }
        Value::I32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::List(values) => {
            let values: Vec<String> = values
                .iter()
                .filter_map(|value| text(field, value))
                .collect();
            values.join(";")
        }
        Value::Message(message) => of_message(message)?,
        Value::String(value) => value.clone(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::Bytes(_) | Value::F32(_) | Value::F64(_) | Value::Map(_) => return None,
    })
}

/// Times and wrappers.
fn of_message(message: &DynamicMessage) -> Option<String> {
    let part = |name: &str| message.get_field_by_name(name);
    if message.descriptor().full_name() == "google.protobuf.Timestamp" {
        let seconds = part("seconds")?.as_i64()?;
        let nanos = i64::from(part("nanos")?.as_i32()?);
        return Timestamp::new(seconds, nanos).ok().map(Timestamp::text);
    }
    let value = part("value")?;
    let field = message.descriptor().get_field_by_name("value")?;
    text(&field, &value)
}

#[cfg(test)]
mod tests {
    use flow_api::flow::{Endpoint, Layer4, Udp, Verdict, layer4::Protocol};

    use super::*;

    #[test]
    fn values_are_text_and_what_is_not_there_is_empty() {
        let flow = Flow {
            time: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 500_000_000,
            }),
            verdict: Verdict::Dropped.into(),
            is_reply: Some(false),
            source: Some(Endpoint {
                labels: vec!["a=b".to_owned(), "c".to_owned()],
                ..Endpoint::default()
            }),
            l4: Some(Layer4 {
                protocol: Some(Protocol::Udp(Udp {
                    source_port: 0,
                    destination_port: 53,
                })),
            }),
            ..Flow::default()
        };
        for (name, expected) in [
            ("time", "2023-11-14T22:13:20.5Z"),
            ("verdict", "DROPPED"),
            ("is_reply", "false"),
            ("source.labels", "a=b;c"),
            ("source.identity", "0"),
            ("destination.identity", ""),
            ("destination.port", "53"),
            ("source.port", "0"),
            ("tcp.source_port", ""),
            ("tcp.flags.SYN", ""),
            ("node_name", ""),
        ] {
            let path = FieldPath::parse(name).unwrap();
            assert_eq!(FieldPath::texts([&path], &flow), [expected], "{name}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (name, problem) in [
            (
                "source",
                "'source' is more than one value, name one of its fields",
            ),
            (
                "source.workloads",
                "'source.workloads' is more than one value, name one of its fields",
            ),
            (
                "verdit",
                "a flow has no field 'verdit', did you mean 'verdict'?",
            ),
        ] {
            assert_eq!(FieldPath::parse(name).unwrap_err().to_string(), problem);
        }
    }
}

//! Values as fields of a message that an expression writes out.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, Value as Wire};

use super::error::EvaluationError;
use super::evaluate::Evaluation;
use super::functions::MESSAGE_STEPS;
use super::time::{Duration, Timestamp};
use super::value::{Message, Value};

/// The value for a field; nothing if the field stays unset.
pub(super) fn field_value(
    evaluation: &mut Evaluation<'_>,
    field: &FieldDescriptor,
    value: &Value<'_>,
) -> Result<Option<Wire>, EvaluationError> {
    let kind = field.kind();
    match value {
        Value::Null if matches!(kind, Kind::Message(_)) && !field.is_list() => Ok(None),
        Value::List(elements) if field.is_list() => {
            evaluation.take(elements.len())?;
            let elements = elements.iter();
            let elements: Result<_, _> = elements
                .map(|element| of_kind(evaluation, &kind, &element?))
                .collect();
            Ok(Some(Wire::List(elements?)))
        }
        Value::Map(entries) if field.is_map() => {
            let Kind::Message(entry) = kind else {
                return Err(EvaluationError::NoSuchOverload);
            };
            evaluation.take(entries.len())?;
            let (key_kind, value_kind) = (
                entry.map_entry_key_field().kind(),
                entry.map_entry_value_field().kind(),
            );
            let entries: Result<_, EvaluationError> = entries
                .iter()
                .map(|(key, value)| {
                    Ok((
                        map_key(of_kind(evaluation, &key_kind, key)?)?,
                        of_kind(evaluation, &value_kind, value)?,
                    ))
                })
                .collect();
            Ok(Some(Wire::Map(entries?)))
        }
        _ => of_kind(evaluation, &kind, value).map(Some),
    }
}

fn map_key(key: Wire) -> Result<MapKey, EvaluationError> {
    key.into_map_key().ok_or(EvaluationError::NoSuchOverload)
}

fn of_kind(
    evaluation: &mut Evaluation<'_>,
    kind: &Kind,
    value: &Value<'_>,
) -> Result<Wire, EvaluationError> {
    let int_overflow = |_| EvaluationError::IntOverflow;
    let uint_overflow = |_| EvaluationError::UintOverflow;
    Ok(match (kind, value) {
        (Kind::Bool, Value::Bool(value)) => Wire::Bool(*value),
        (Kind::Bytes, Value::Bytes(value)) => {
            evaluation.take_bytes(value.len())?;
            Wire::Bytes(value.to_vec().into())
        }
        (Kind::Double, Value::Double(value)) => Wire::F64(*value),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the field holds no more digits"
        )]
        (Kind::Float, Value::Double(value)) => Wire::F32(*value as f32),
        (Kind::Enum(_), Value::Int(value)) => {
            Wire::EnumNumber(i32::try_from(*value).map_err(int_overflow)?)
        }
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, Value::Int(value)) => {
            Wire::I32(i32::try_from(*value).map_err(int_overflow)?)
        }
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, Value::Int(value)) => Wire::I64(*value),
        (Kind::Uint32 | Kind::Fixed32, Value::Uint(value)) => {
            Wire::U32(u32::try_from(*value).map_err(uint_overflow)?)
        }
        (Kind::Uint64 | Kind::Fixed64, Value::Uint(value)) => Wire::U64(*value),
        (Kind::String, Value::String(value)) => {
            evaluation.take_bytes(value.len())?;
            Wire::String(value.clone().into_owned())
        }
        (Kind::Message(_), Value::Message(message)) => {
            evaluation.take(MESSAGE_STEPS)?;
            Wire::Message(match message {
                Message::Absent(descriptor) | Message::Invalid(descriptor) => {
                    DynamicMessage::new(descriptor.clone())
                }
                Message::Borrowed(message) => (*message).clone(),
                Message::Built(message) => (**message).clone(),
            })
        }
        (Kind::Message(descriptor), value) => {
            let mut message = DynamicMessage::new(descriptor.clone());
            let fields: &[(&str, Value<'_>)] = match value {
                Value::Timestamp(time) => &time_fields(*time),
                Value::Duration(duration) => &duration_fields(*duration),
                // A wrapper.
                value => &[("value", value.clone())],
            };
            for (name, value) in fields {
                let field = descriptor.get_field_by_name(name);
                let field = field.ok_or(EvaluationError::NoSuchOverload)?;
                if matches!(field.kind(), Kind::Message(_)) {
                    return Err(EvaluationError::NoSuchOverload);
                }
                let value = of_kind(evaluation, &field.kind(), value)?;
                let fits = message.try_set_field(&field, value);
                fits.map_err(|_| EvaluationError::NoSuchOverload)?;
            }
            Wire::Message(message)
        }
        _ => return Err(EvaluationError::NoSuchOverload),
    })
}

fn time_fields(time: Timestamp) -> [(&'static str, Value<'static>); 2] {
    [
        ("seconds", Value::Int(time.seconds())),
        ("nanos", Value::Int(time.subsecond_nanos())),
    ]
}

fn duration_fields(duration: Duration) -> [(&'static str, Value<'static>); 2] {
    [
        ("seconds", Value::Int(duration.nanos / 1_000_000_000)),
        ("nanos", Value::Int(duration.nanos % 1_000_000_000)),
    ]
}

//! Values made into values of other types: `int(x)`, `string(x)` and their like.

use std::borrow::Cow;

use super::error::EvaluationError;
use super::evaluate::Evaluated;
use super::overloads::Conversion;
use super::time::{Duration, Timestamp};
use super::value::Value;

/// 2 to the power of 63 and of 64: the first doubles that are too large.
const INT_END: f64 = 9_223_372_036_854_775_808.0;
const UINT_END: f64 = 18_446_744_073_709_551_616.0;

/// The value as another type.
pub(super) fn convert<'m>(value: Value<'m>, to: Conversion) -> Evaluated<'m> {
    let converted = match to {
        Conversion::Bool => bool(&value),
        Conversion::Bytes => bytes(&value),
        Conversion::Double => double(&value),
        Conversion::Duration => match &value {
            Value::Duration(duration) => Some(Value::Duration(*duration)),
            Value::String(text) => Duration::parse(text).map(Value::Duration),
            _ => None,
        },
        Conversion::Dyn => return Ok(value),
        Conversion::Int => int(&value)?,
        Conversion::String => string(&value),
        Conversion::Timestamp => match &value {
            Value::Int(seconds) => return Timestamp::new(*seconds, 0).map(Value::Timestamp),
            Value::String(text) => Timestamp::parse(text).map(Value::Timestamp),
            Value::Timestamp(time) => Some(Value::Timestamp(*time)),
            _ => None,
        },
        Conversion::Uint => uint(&value)?,
    };
    converted.ok_or_else(|| EvaluationError::InvalidConversion {
        from: value.type_name().into_owned(),
        to: match to {
            Conversion::Bool => "bool",
            Conversion::Bytes => "bytes",
            Conversion::Double => "double",
            Conversion::Duration => "google.protobuf.Duration",
            Conversion::Dyn => "dyn",
            Conversion::Int => "int",
            Conversion::String => "string",
            Conversion::Timestamp => "google.protobuf.Timestamp",
            Conversion::Uint => "uint",
        },
    })
}

fn bool<'m>(value: &Value<'m>) -> Option<Value<'m>> {
    Some(Value::Bool(match value {
        Value::Bool(value) => *value,
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => return None,
        },
        _ => return None,
    }))
}

fn bytes<'m>(value: &Value<'m>) -> Option<Value<'m>> {
    Some(Value::Bytes(match value {
        Value::Bytes(bytes) => bytes.clone(),
        Value::String(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Value::String(Cow::Owned(text)) => Cow::Owned(text.clone().into_bytes()),
        _ => return None,
    }))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a double is what was asked for, and the nearest one is given"
)]
fn double<'m>(value: &Value<'m>) -> Option<Value<'m>> {
    Some(Value::Double(match value {
        Value::Double(number) => *number,
        Value::Int(number) => *number as f64,
        Value::String(text) => parse_double(text)?,
        Value::Uint(number) => *number as f64,
        _ => return None,
    }))
}

/// A number that is too large is none, unless infinity is what was written.
fn parse_double(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let says_infinity = text.contains(['i', 'I']);
    (number.is_finite() || number.is_nan() || says_infinity).then_some(number)
}

fn int<'m>(value: &Value<'m>) -> Result<Option<Value<'m>>, EvaluationError> {
    Ok(Some(Value::Int(match value {
        #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
        Value::Double(number) if *number > -INT_END && *number < INT_END => *number as i64,
        Value::Double(_) => return Err(EvaluationError::IntOverflow),
        Value::Duration(duration) => duration.nanos,
        Value::Int(number) => *number,
        Value::String(text) => return Ok(text.parse().ok().map(Value::Int)),
        Value::Timestamp(time) => time.seconds(),
        Value::Uint(number) => i64::try_from(*number).map_err(|_| EvaluationError::IntOverflow)?,
        _ => return Ok(None),
    })))
}

fn uint<'m>(value: &Value<'m>) -> Result<Option<Value<'m>>, EvaluationError> {
    Ok(Some(Value::Uint(match value {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to fit"
        )]
        Value::Double(number) if *number >= 0.0 && *number < UINT_END => *number as u64,
        Value::Double(_) => return Err(EvaluationError::UintOverflow),
        Value::Int(number) => u64::try_from(*number).map_err(|_| EvaluationError::UintOverflow)?,
        // A sign is none of it.
        Value::String(text) if text.starts_with('+') => return Ok(None),
        Value::String(text) => return Ok(text.parse().ok().map(Value::Uint)),
        Value::Uint(number) => *number,
        _ => return Ok(None),
    })))
}

fn string<'m>(value: &Value<'m>) -> Option<Value<'m>> {
    Some(Value::String(match value {
        Value::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Value::Bytes(bytes) => Cow::Owned(String::from_utf8(bytes.to_vec()).ok()?),
        Value::Double(number) => Cow::Owned(double_text(*number)),
        Value::Duration(duration) => Cow::Owned(duration.text()),
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::String(text) => text.clone(),
        Value::Timestamp(time) => Cow::Owned(time.text()),
        Value::Uint(number) => Cow::Owned(number.to_string()),
        _ => return None,
    }))
}

/// A value as text for a message.
pub(super) fn shown(value: &Value<'_>) -> String {
    match string(value) {
        Some(Value::String(text)) => text.into_owned(),
        _ => value.type_name().into_owned(),
    }
}

/// A number in as few digits as tell it from all others; very large and very small ones with an
/// exponent of at least two digits.
fn double_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    number.to_string()
}

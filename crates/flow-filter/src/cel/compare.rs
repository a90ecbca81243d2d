//! Which values are equal, and which comes first.

use std::cmp::Ordering;

use super::value::Value;

/// Whether two values are equal. Numbers are by what they count, whatever their types; values of
/// other types are not.
pub(super) fn equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other.iter())
                    .all(|pair| matches!(pair, (Ok(one), Ok(other)) if equal(&one, &other)))
        }
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| entry(other, key).is_some_and(|other| equal(value, other)))
        }
        (Value::Message(one), Value::Message(other)) => one.equals(other),
        (Value::Null, Value::Null) => true,
        (Value::Type(one), Value::Type(other)) => one == other,
        _ => order(one, other) == Some(Ordering::Equal),
    }
}

/// What a map holds for a key.
pub(super) fn entry<'v, 'm>(
    entries: &'v [(Value<'m>, Value<'m>)],
    key: &Value<'_>,
) -> Option<&'v Value<'m>> {
    let found = entries.iter().find(|(other, _)| equal(other, key));
    found.map(|(_, value)| value)
}

/// Which of two values is the smaller one, if they can be compared.
pub(super) fn order(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    Some(match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Bytes(one), Value::Bytes(other)) => one.cmp(other),
        (Value::Double(one), Value::Double(other)) => return one.partial_cmp(other),
        (Value::Double(one), Value::Int(other)) => return double(*one, i128::from(*other)),
        (Value::Double(one), Value::Uint(other)) => return double(*one, i128::from(*other)),
        (Value::Int(_) | Value::Uint(_), Value::Double(_)) => {
            return order(other, one).map(Ordering::reverse);
        }
        (Value::Duration(one), Value::Duration(other)) => one.cmp(other),
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Int(one), Value::Uint(other)) => i128::from(*one).cmp(&i128::from(*other)),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Timestamp(one), Value::Timestamp(other)) => one.cmp(other),
        (Value::Uint(one), Value::Int(other)) => i128::from(*one).cmp(&i128::from(*other)),
        (Value::Uint(one), Value::Uint(other)) => one.cmp(other),
        _ => return None,
    })
}

/// A double against an integer, exactly: one of the two may not fit the other's type.
fn double(one: f64, other: i128) -> Option<Ordering> {
    if one.is_nan() {
        return None;
    }
    // Past the ends of i128 this stops at them, which is far past all integers of the language.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is cut off is compared next"
    )]
    let whole = one.trunc() as i128;
    let fraction = one.fract().partial_cmp(&0.0)?;
    Some(whole.cmp(&other).then(fraction))
}

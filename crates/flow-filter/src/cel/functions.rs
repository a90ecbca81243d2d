//! What the functions and operators of the language do with values. Which values they get is known
//! when a program is made, but for those whose type is only known now.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use super::compare;
use super::convert;
use super::error::EvaluationError;
use super::evaluate::{Evaluated, Evaluation};
use super::overloads::{Function, TimePart};
use super::search::Search;
use super::time;
use super::value::{List, Value};

/// What comparing a message takes; a flow has about as many fields.
pub(super) const MESSAGE_STEPS: usize = 100;

/// The value of a call.
pub(super) fn call<'m>(
    evaluation: &mut Evaluation<'m>,
    function: Function,
    arguments: Vec<Value<'m>>,
) -> Evaluated<'m> {
    take_work(evaluation, function, &arguments)?;
    match <[Value<'m>; 1]>::try_from(arguments) {
        Ok([argument]) => unary(function, argument),
        Err(arguments) => match <[Value<'m>; 2]>::try_from(arguments) {
            Ok([one, other]) => binary(evaluation, function, one, other),
            Err(_) => Err(EvaluationError::NoSuchOverload),
        },
    }
}

/// Takes the steps for what there is to look at in the arguments.
fn take_work(
    evaluation: &mut Evaluation<'_>,
    function: Function,
    arguments: &[Value<'_>],
) -> Result<(), EvaluationError> {
    let looks_deep = matches!(
        function,
        Function::Equal | Function::NotEqual | Function::In | Function::Index
    );
    for argument in arguments {
        take_for(evaluation, argument, looks_deep)?;
    }
    Ok(())
}

/// Counts while it looks: values that hold each other many times are small in memory and large to
/// compare.
fn take_for(
    evaluation: &mut Evaluation<'_>,
    value: &Value<'_>,
    looks_deep: bool,
) -> Result<(), EvaluationError> {
    match value {
        Value::Bytes(bytes) => evaluation.take_bytes(bytes.len()),
        Value::String(text) => evaluation.take_bytes(text.len()),
        Value::List(elements) => {
            evaluation.take(elements.len())?;
            match elements {
                List::Built(elements) if looks_deep => elements
                    .iter()
                    .try_for_each(|element| take_for(evaluation, element, true)),
                _ => Ok(()),
            }
        }
        Value::Map(entries) if looks_deep => {
            // Each key is looked for among all.
            evaluation.take(entries.len().saturating_mul(entries.len()))?;
            entries.iter().try_for_each(|(key, value)| {
                take_for(evaluation, key, true)?;
                take_for(evaluation, value, true)
            })
        }
        Value::Message(_) if looks_deep => evaluation.take(MESSAGE_STEPS),
        _ => Ok(()),
    }
}

fn unary<'m>(function: Function, argument: Value<'m>) -> Evaluated<'m> {
    let int = |number: Option<i64>| number.map(Value::Int).ok_or(EvaluationError::IntOverflow);
    Ok(match (function, argument) {
        (Function::Convert(conversion), argument) => return convert::convert(argument, conversion),
        (Function::Get(part), Value::Timestamp(time)) => Value::Int(time.part(part, 0)),
        (Function::Get(part), Value::Duration(duration)) => {
            Value::Int(duration.part(part).ok_or(EvaluationError::NoSuchOverload)?)
        }
        (Function::Negate, Value::Double(number)) => Value::Double(-number),
        (Function::Negate, Value::Int(number)) => return int(number.checked_neg()),
        (Function::Not, Value::Bool(value)) => Value::Bool(!value),
        (Function::Size, argument) => {
            let size = match &argument {
                Value::Bytes(bytes) => bytes.len(),
                Value::List(elements) => elements.len(),
                Value::Map(entries) => entries.len(),
                Value::String(text) => text.chars().count(),
                _ => return Err(EvaluationError::NoSuchOverload),
            };
            return int(i64::try_from(size).ok());
        }
        (Function::TypeOf, argument) => Value::Type(argument.type_name()),
        _ => return Err(EvaluationError::NoSuchOverload),
    })
}

fn binary<'m>(
    evaluation: &mut Evaluation<'m>,
    function: Function,
    one: Value<'m>,
    other: Value<'m>,
) -> Evaluated<'m> {
    match function {
        Function::Equal => Ok(Value::Bool(compare::equal(&one, &other))),
        Function::NotEqual => Ok(Value::Bool(!compare::equal(&one, &other))),
        Function::Less => ordered(&one, &other, Ordering::is_lt),
        Function::LessOrEqual => ordered(&one, &other, Ordering::is_le),
        Function::Greater => ordered(&one, &other, Ordering::is_gt),
        Function::GreaterOrEqual => ordered(&one, &other, Ordering::is_ge),
        Function::In => contains(&one, &other),
        Function::Index => index(&one, &other),
        Function::Add => add(one, other),
        Function::Subtract | Function::Multiply | Function::Divide | Function::Modulo => {
            arithmetic(function, &one, &other)
        }
        Function::Get(part) => in_zone(part, &one, &other),
        Function::Contains | Function::EndsWith | Function::Matches | Function::StartsWith => {
            let (Value::String(text), Value::String(part)) = (one, other) else {
                return Err(EvaluationError::NoSuchOverload);
            };
            Ok(Value::Bool(match function {
                Function::Contains => text.contains(&*part),
                Function::EndsWith => text.ends_with(&*part),
                Function::StartsWith => text.starts_with(&*part),
                _ => {
                    let search = Search::compile_now(evaluation, &part)?;
                    search.finds(evaluation, &text)?
                }
            }))
        }
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

fn ordered<'m>(
    one: &Value<'m>,
    other: &Value<'m>,
    is_wanted: impl Fn(Ordering) -> bool,
) -> Evaluated<'m> {
    match compare::order(one, other) {
        Some(order) => Ok(Value::Bool(is_wanted(order))),
        // Not a number is neither more nor less than anything.
        None if is_number(one) && is_number(other) => Ok(Value::Bool(false)),
        None => Err(EvaluationError::NoSuchOverload),
    }
}

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::Double(_) | Value::Int(_) | Value::Uint(_))
}

fn contains<'m>(value: &Value<'m>, of: &Value<'m>) -> Evaluated<'m> {
    match of {
        Value::List(elements) => {
            for element in elements.iter() {
                if compare::equal(&element?, value) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        Value::Map(entries) => Ok(Value::Bool(compare::entry(entries, value).is_some())),
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

fn index<'m>(of: &Value<'m>, index: &Value<'m>) -> Evaluated<'m> {
    match of {
        Value::List(elements) => {
            let index = match index {
                Value::Int(index) => *index,
                Value::Uint(index) => i64::try_from(*index).unwrap_or(i64::MAX),
                // Only a whole number stands for a place.
                Value::Double(_) => (0_i64..)
                    .zip(elements.iter())
                    .find_map(|(place, _)| {
                        compare::equal(&Value::Int(place), index).then_some(place)
                    })
                    .ok_or(EvaluationError::NoSuchOverload)?,
                _ => return Err(EvaluationError::NoSuchOverload),
            };
            let element = usize::try_from(index).ok();
            let element = element.and_then(|index| elements.get(index));
            element.ok_or(EvaluationError::IndexOutOfBounds { index })?
        }
        Value::Map(entries) => {
            let found = compare::entry(entries, index).cloned();
            found.ok_or_else(|| EvaluationError::NoSuchKey {
                key: convert::shown(index),
            })
        }
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

fn add<'m>(one: Value<'m>, other: Value<'m>) -> Evaluated<'m> {
    Ok(match (one, other) {
        (Value::Bytes(one), Value::Bytes(other)) => {
            let mut bytes = one.into_owned();
            bytes.extend_from_slice(&other);
            Value::Bytes(Cow::Owned(bytes))
        }
        (Value::Double(one), Value::Double(other)) => Value::Double(one + other),
        (Value::Duration(one), Value::Duration(other)) => duration(one.checked_add(other))?,
        (Value::Duration(duration), Value::Timestamp(time))
        | (Value::Timestamp(time), Value::Duration(duration)) => {
            Value::Timestamp(time.plus(duration)?)
        }
        (Value::Int(one), Value::Int(other)) => {
            let sum = one.checked_add(other);
            Value::Int(sum.ok_or(EvaluationError::IntOverflow)?)
        }
        (Value::List(one), Value::List(other)) => {
            let elements: Result<Rc<[_]>, _> = one.iter().chain(other.iter()).collect();
            Value::List(List::Built(elements?))
        }
        (Value::String(one), Value::String(other)) => {
            Value::String(Cow::Owned(one.into_owned() + &other))
        }
        (Value::Uint(one), Value::Uint(other)) => {
            let sum = one.checked_add(other);
            Value::Uint(sum.ok_or(EvaluationError::UintOverflow)?)
        }
        _ => return Err(EvaluationError::NoSuchOverload),
    })
}

fn duration<'m>(of: Option<time::Duration>) -> Evaluated<'m> {
    of.map(Value::Duration)
        .ok_or(EvaluationError::DurationOverflow)
}

fn arithmetic<'m>(function: Function, one: &Value<'m>, other: &Value<'m>) -> Evaluated<'m> {
    match (one, other) {
        (Value::Double(one), Value::Double(other)) => Ok(Value::Double(match function {
            Function::Divide => one / other,
            Function::Multiply => one * other,
            Function::Subtract => one - other,
            _ => return Err(EvaluationError::NoSuchOverload),
        })),
        (Value::Int(one), Value::Int(other)) => {
            check_divisor(function, *other == 0)?;
            let result = match function {
                Function::Divide => one.checked_div(*other),
                Function::Modulo => one.checked_rem(*other),
                Function::Multiply => one.checked_mul(*other),
                _ => one.checked_sub(*other),
            };
            result.map(Value::Int).ok_or(EvaluationError::IntOverflow)
        }
        (Value::Uint(one), Value::Uint(other)) => {
            check_divisor(function, *other == 0)?;
            let result = match function {
                Function::Divide => one.checked_div(*other),
                Function::Modulo => one.checked_rem(*other),
                Function::Multiply => one.checked_mul(*other),
                _ => one.checked_sub(*other),
            };
            result.map(Value::Uint).ok_or(EvaluationError::UintOverflow)
        }
        (Value::Duration(one), Value::Duration(other)) if function == Function::Subtract => {
            duration(one.checked_sub(*other))
        }
        (Value::Timestamp(one), Value::Duration(other)) if function == Function::Subtract => {
            one.minus(*other).map(Value::Timestamp)
        }
        (Value::Timestamp(one), Value::Timestamp(other)) if function == Function::Subtract => {
            one.since(*other).map(Value::Duration)
        }
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

fn check_divisor(function: Function, is_zero: bool) -> Result<(), EvaluationError> {
    match function {
        Function::Divide if is_zero => Err(EvaluationError::DivisionByZero),
        Function::Modulo if is_zero => Err(EvaluationError::ModulusByZero),
        _ => Ok(()),
    }
}

fn in_zone<'m>(part: TimePart, time: &Value<'m>, zone: &Value<'m>) -> Evaluated<'m> {
    let (Value::Timestamp(time), Value::String(zone)) = (time, zone) else {
        return Err(EvaluationError::NoSuchOverload);
    };
    Ok(Value::Int(time.part(part, time::zone_offset(zone)?)))
}

//! An expression in words.

use std::borrow::Cow;

use super::rewrite::Notes;
use crate::cel::macros::qualified_name;
use crate::cel::schema::VARIABLE;
use crate::cel::spell::{operator, spelled};
use crate::cel::syntax::{Expr, ExprKind, Literal};
use crate::outline::{LAYER_4, LAYER_7, Limit, Outline, Test, Values};

/// The tree of an expression that is a condition.
pub(super) fn outline(expr: &Expr, notes: &Notes) -> Outline {
    if let Some(note) = notes.get(&expr.place)
        && !is_operand(expr)
    {
        return Outline::words(note);
    }
    match &expr.kind {
        ExprKind::Call {
            function,
            target: None,
            arguments,
        } => match (function.as_str(), arguments.as_slice()) {
            ("_&&_", _) => {
                let mut parts = Vec::new();
                flatten(expr, "_&&_", notes, &mut parts);
                Outline::all(parts)
            }
            ("_||_", _) => {
                let mut parts = Vec::new();
                flatten(expr, "_||_", notes, &mut parts);
                Outline::any(parts)
            }
            ("!_", [operand]) => Outline::Not(Box::new(outline(operand, notes))),
            (function, [left, right]) => compared(function, left, right, notes)
                .map_or_else(|| Outline::words(text(expr)), Outline::Test),
            _ => Outline::words(text(expr)),
        },
        ExprKind::Call {
            function,
            target: Some(target),
            arguments,
        } => {
            Outline::words(asked(function, target, arguments, notes).unwrap_or_else(|| text(expr)))
        }
        ExprKind::Has { operand, field } => {
            let select = ExprKind::Select {
                operand: operand.clone(),
                field: field.clone(),
            };
            let subject = subject(&Expr::new(expr.place, select), notes);
            Outline::Test(Test {
                words: format!("there is {subject}"),
                implies: implied(&subject),
                ..Test::default()
            })
        }
        ExprKind::Select { .. } => {
            let subject = subject(expr, notes).into_owned();
            Outline::Test(Test {
                words: format!("{subject} is true"),
                implies: implied(&subject),
                limit: Some(Limit::only(subject, "true")),
            })
        }
        _ => Outline::words(text(expr)),
    }
}

/// The expression as it stands, with fields as they are named elsewhere.
fn text(expr: &Expr) -> String {
    spelled(expr).replace(&format!("{VARIABLE}."), "")
}

fn flatten(expr: &Expr, wanted: &str, notes: &Notes, parts: &mut Vec<Outline>) {
    match &expr.kind {
        ExprKind::Call {
            function,
            target: None,
            arguments,
        } if function == wanted && !notes.contains_key(&expr.place) => {
            for argument in arguments {
                flatten(argument, wanted, notes, parts);
            }
        }
        _ => parts.push(outline(expr, notes)),
    }
}

/// Notes about operands stand beside those about questions.
fn is_operand(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Call { function, .. } if function == "_+_")
}

fn compared(function: &str, left: &Expr, right: &Expr, notes: &Notes) -> Option<Test> {
    let (function, named, other) = match value(left) {
        // The value stands first.
        Some(_) => (turned(function)?, right, left),
        None => (function, left, right),
    };
    let name = subject(named, notes);
    if function == "@in" {
        if let ExprKind::List(elements) = &other.kind {
            let values: Option<Vec<String>> = elements.iter().map(value).collect();
            return Some(limited(&name, Values::only(values?), named));
        }
        // A value in a list of the flow.
        let value = value(left)?;
        return Some(words(format!("{} has {value}", subject(right, notes))));
    }
    let Some(value) = value(other) else {
        let sign = operator(function)?;
        return Some(words(format!("{name} {sign} {}", subject(other, notes))));
    };
    let number: Option<u64> = value.parse().ok();
    let values = match (function, number) {
        ("_==_", _) => Values::only([value]),
        ("_!=_", _) => Values::except([value]),
        ("_<_", Some(number)) => Values::Between(0, number.checked_sub(1)?),
        ("_<=_", Some(number)) => Values::Between(0, number),
        ("_>_", Some(number)) => Values::Between(number.checked_add(1)?, u64::MAX),
        ("_>=_", Some(number)) => Values::Between(number, u64::MAX),
        ("_<_", None) => return Some(words(format!("{name} is before {value}"))),
        ("_<=_", None) => return Some(words(format!("{name} is {value} or before"))),
        ("_>_", None) => return Some(words(format!("{name} is after {value}"))),
        ("_>=_", None) => return Some(words(format!("{name} is {value} or after"))),
        _ => return None,
    };
    Some(limited(&name, values, named))
}

fn words(words: String) -> Test {
    Test {
        words,
        ..Test::default()
    }
}

fn limited(name: &str, values: Values, named: &Expr) -> Test {
    // What is not there reads as empty, 0, false or the first name: only another value tells that
    // something is there.
    let is_something = match &values {
        Values::Between(first, _) => *first > 0,
        Values::Except(values) => values.contains("") || values.contains("0"),
        Values::Only(values) => !values
            .iter()
            .any(|value| matches!(value.as_str(), "" | "0" | "false")),
    };
    let words = format!("{name} {}", values.words());
    // Of other expressions nobody knows that they are one thing.
    let is_field = qualified_name(named).is_some() || name.ends_with(".port");
    Test {
        words,
        implies: if is_something {
            implied(name)
        } else {
            Vec::new()
        },
        limit: is_field.then(|| Limit::new(name, values)),
    }
}

/// What a field that is there tells of the flow.
fn implied(name: &str) -> Vec<Limit> {
    let mut parts = name.split('.');
    match (parts.next(), parts.next()) {
        (Some("l4"), Some(protocol)) => vec![Limit::only(LAYER_4, protocol)],
        (Some("l7"), Some(record @ ("dns" | "http" | "kafka"))) => {
            vec![Limit::only(LAYER_7, record)]
        }
        (Some("source" | "destination"), Some("port")) => {
            let protocols = ["TCP", "UDP", "SCTP"].map(str::to_owned);
            vec![Limit::new(LAYER_4, Values::only(protocols))]
        }
        _ => Vec::new(),
    }
}

fn asked(function: &str, target: &Expr, arguments: &[Expr], notes: &Notes) -> Option<String> {
    let [argument] = arguments else {
        return None;
    };
    let verb = match function {
        "contains" => "contains",
        "endsWith" => "ends in",
        "matches" => "matches",
        "startsWith" => "starts with",
        _ => return None,
    };
    let subject = subject(target, notes);
    Some(format!("{subject} {verb} {}", value(argument)?))
}

/// An operand in words: the name of a field, or the expression.
fn subject<'n>(expr: &Expr, notes: &'n Notes) -> Cow<'n, str> {
    if let Some(note) = notes.get(&expr.place)
        && is_operand(expr)
    {
        return note.as_str().into();
    }
    let spelled = spelled(expr);
    match spelled
        .strip_prefix(VARIABLE)
        .map(|rest| rest.strip_prefix('.'))
    {
        Some(Some(path)) if qualified_name(expr).is_some() => path.to_owned().into(),
        _ => spelled.into(),
    }
}

/// A value that is written out.
fn value(expr: &Expr) -> Option<String> {
    Some(match &expr.kind {
        ExprKind::Literal(literal) => match literal {
            Literal::Bool(value) => value.to_string(),
            Literal::Int(number) => number.to_string(),
            Literal::String(text) => text.clone(),
            Literal::Uint(number) => number.to_string(),
            Literal::Bytes(_) | Literal::Double(_) | Literal::Null => return None,
        },
        ExprKind::Select { field, .. } => {
            let name = qualified_name(expr)?;
            // A constant; fields begin with the flow.
            let is_constant = !name.starts_with(VARIABLE)
                && field.starts_with(|letter: char| letter.is_ascii_uppercase());
            is_constant.then(|| field.clone())?
        }
        ExprKind::Call {
            function,
            target: None,
            arguments,
        } if function == "timestamp" => value(arguments.first()?)?,
        _ => return None,
    })
}

fn turned(function: &str) -> Option<&'static str> {
    Some(match function {
        "_==_" => "_==_",
        "_!=_" => "_!=_",
        "_<_" => "_>_",
        "_<=_" => "_>=_",
        "_>_" => "_<_",
        "_>=_" => "_<=_",
        "@in" => "@in",
        _ => return None,
    })
}

//! Values beside a field: what they must be for the two to be compared.

use flow_api::near::nearest;
use prost_reflect::EnumDescriptor;

use super::Rewriter;
use crate::cel::plain::sort::Sort;
use crate::cel::syntax::{Expr, ExprKind, Literal};
use crate::cel::time::Timestamp;

/// Names that fit into a message.
const FEW_NAMES: usize = 12;

impl Rewriter<'_> {
    /// A value that stands beside a field.
    pub(super) fn value(&mut self, expr: &Expr, sort: &Sort, subject: &str) -> Expr {
        let place = expr.place;
        match (&expr.kind, sort) {
            (
                ExprKind::Literal(Literal::String(name)) | ExprKind::Ident(name),
                Sort::Enum(names),
            ) => match constant(names, name) {
                Some(constant) => super::named(place, &constant),
                None if self.is_known(expr) => self.rewrite(expr),
                None => self.wrong(expr, no_such_name(names, subject, name)),
            },
            (ExprKind::Literal(literal), sort) => match adapted(literal, sort, subject) {
                Adapted::As(literal) => Expr::literal(place, literal),
                Adapted::Address(text) => self.address(place, text, subject),
                Adapted::Time(time) => Expr::call(place, "timestamp", [Expr::text(place, time)]),
                Adapted::Wrong(problem) => self.wrong(expr, problem),
            },
            (ExprKind::Ident(word), Sort::Text | Sort::Address | Sort::List(_))
                if !self.is_known(expr) =>
            {
                let problem = format!("'{word}' is no field, write \"{word}\" if it is a text");
                self.wrong(expr, problem)
            }
            (
                ExprKind::Call {
                    function,
                    arguments,
                    ..
                },
                sort,
            ) if function == "_?_:_" => match arguments.as_slice() {
                [condition, when_true, when_false] => {
                    let parts = [
                        self.truth(condition),
                        self.value(when_true, sort, subject),
                        self.value(when_false, sort, subject),
                    ];
                    Expr::call(place, function, parts)
                }
                _ => self.rewrite(expr),
            },
            _ => self.rewrite(expr),
        }
    }

    fn wrong(&mut self, expr: &Expr, problem: String) -> Expr {
        self.mistakes.add(expr.place, problem);
        expr.clone()
    }

    /// Whether a word stands for anything.
    fn is_known(&self, expr: &Expr) -> bool {
        let ExprKind::Ident(name) = &expr.kind else {
            return false;
        };
        !self.is_name(expr) || self.sort(expr).is_some() || self.schema.named(name).is_some()
    }
}

/// What becomes of a value.
enum Adapted<'t> {
    Address(&'t str),
    As(Literal),
    Time(String),
    Wrong(String),
}

fn adapted<'t>(literal: &'t Literal, sort: &Sort, subject: &str) -> Adapted<'t> {
    let expected =
        |advice: &str| Adapted::Wrong(format!("'{subject}' is {}, {advice}", sort.words()));
    match (literal, sort) {
        (Literal::Int(number), Sort::Uint) => match u64::try_from(*number) {
            Ok(number) => Adapted::As(Literal::Uint(number)),
            Err(_) => expected("and never below 0"),
        },
        (Literal::Uint(number), Sort::Int) => match i64::try_from(*number) {
            Ok(number) => Adapted::As(Literal::Int(number)),
            Err(_) => expected("and never as large as this"),
        },
        (Literal::String(text), Sort::Address) => Adapted::Address(text),
        (Literal::String(text), Sort::Time) => match time(text) {
            Some(time) => Adapted::Time(time),
            None => expected("as in \"2026-01-31T09:30:00Z\""),
        },
        (Literal::String(_), Sort::Int | Sort::Uint) if subject == "drop_reason" => {
            expected("names are in 'drop_reason_desc'")
        }
        (Literal::String(text), Sort::Int | Sort::Uint) if text.parse::<u64>().is_ok() => {
            expected(&format!("write {text} without quotes"))
        }
        (Literal::String(text), Sort::Bool { .. }) if matches!(text.as_str(), "true" | "false") => {
            expected(&format!("write {text} without quotes"))
        }
        (Literal::String(_), Sort::Bool { .. } | Sort::Int | Sort::Uint) => {
            expected("and this is a text")
        }
        (Literal::Double(_), Sort::Int | Sort::Uint) => expected("and this is no whole one"),
        (Literal::Int(number), Sort::Text) => expected(&format!("write \"{number}\"")),
        (Literal::Uint(number), Sort::Text) => expected(&format!("write \"{number}\"")),
        (Literal::String(text), Sort::List(_)) => {
            expected(&format!("write \"{text}\" in {subject}"))
        }
        (Literal::Int(_) | Literal::String(_) | Literal::Uint(_), Sort::Message(_)) => {
            expected("name one of its fields")
        }
        _ => Adapted::As(literal.clone()),
    }
}

/// The full name of the constant that is meant. Case does not matter, and `-` is as good as `_`.
pub(super) fn constant(names: &EnumDescriptor, name: &str) -> Option<String> {
    let wanted = name.replace('-', "_");
    let value = names
        .values()
        .find(|value| value.name().eq_ignore_ascii_case(&wanted))?;
    let of = names.full_name();
    let of = of.strip_prefix("flow.").unwrap_or(of);
    Some(format!("{of}.{}", value.name()))
}

fn no_such_name(names: &EnumDescriptor, subject: &str, name: &str) -> String {
    let known: Vec<String> = names
        .values()
        .map(|value| value.name().to_owned())
        .collect();
    let problem = format!("'{subject}' is never '{name}'");
    match nearest(&name.replace('-', "_"), known.iter().map(String::as_str)) {
        Some(near) => format!("{problem}, did you mean {near}?"),
        None if known.len() <= FEW_NAMES => {
            format!("{problem}, it is one of {}", known.join(", "))
        }
        None => problem,
    }
}

/// A time as the language reads it. A day stands for its beginning in UTC.
fn time(text: &str) -> Option<String> {
    let midnight = format!("{text}T00:00:00Z");
    [text.to_owned(), midnight]
        .into_iter()
        .find(|text| Timestamp::parse(text).is_some())
}

//! From what people write to what every server of Hubble understands. In: the syntax of an
//! expression. Out: the same with full names of fields, and with values of the type that the fields
//! beside them have.
//!
//! What is good CEL already comes out as it went in. Only what would be a mistake there is read in
//! another way: a name without `_flow`, the name of an enum's value as text, a number without `u`, a
//! range of addresses, a pattern.

mod compare;
mod value;

use std::collections::BTreeMap;

use prost_reflect::MessageDescriptor;

use super::glob;
use super::names::{self, Meaning};
use super::sort::Sort;
use crate::cel::macros::qualified_name;
use crate::cel::report::{Mistakes, Report};
use crate::cel::schema::{Named, Schema, VARIABLE};
use crate::cel::spell::spelled;
use crate::cel::syntax::{Comprehension, ComprehensionKind, Expr, ExprKind, FieldInit, Literal};
use crate::view::Side;

/// Protocols with ports. A flow has one of them at most, and the ports of the others read as 0.
pub(super) const WITH_PORTS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// What was said in a way that the new expression does not show, by its place.
pub(super) type Notes = BTreeMap<usize, String>;

/// Rewrites an expression.
pub(super) fn rewrite(schema: &Schema, text: &str, expr: &Expr) -> Result<(Expr, Notes), Report> {
    let Some(flow) = schema.flow() else {
        return Err(Report::default());
    };
    let mut rewriter = Rewriter {
        schema,
        text,
        flow,
        locals: Vec::new(),
        mistakes: Mistakes::default(),
        notes: Notes::new(),
    };
    let rewritten = rewriter.truth(expr);
    rewriter.mistakes.report(text)?;
    Ok((rewritten, rewriter.notes))
}

pub(super) struct Rewriter<'s> {
    schema: &'s Schema,
    text: &'s str,
    flow: MessageDescriptor,
    /// The variables of the comprehensions around, outermost first.
    locals: Vec<(String, Option<Sort>)>,
    mistakes: Mistakes,
    notes: Notes,
}

impl Rewriter<'_> {
    /// Where yes or no is wanted.
    fn truth(&mut self, expr: &Expr) -> Expr {
        if let ExprKind::Call {
            function,
            target: None,
            arguments,
        } = &expr.kind
            && function == "_?_:_"
            && let [condition, when_true, when_false] = arguments.as_slice()
        {
            let parts = [condition, when_true, when_false].map(|part| self.truth(part));
            return Expr::call(expr.place, function, parts);
        }
        let sort = self.sort(expr);
        let rewritten = self.rewrite(expr);
        match (sort, rewritten.kind) {
            (Some(Sort::Bool { may_be_null: true }), kind) => {
                is(expr.place, Expr::new(rewritten.place, kind), true)
            }
            // A message is there or not.
            (Some(Sort::Message(_)), ExprKind::Select { operand, field }) => {
                Expr::new(expr.place, ExprKind::Has { operand, field })
            }
            (_, kind) => Expr::new(rewritten.place, kind),
        }
    }

    fn not(&mut self, place: usize, operand: &Expr) -> Expr {
        // What is not known is neither.
        if let Some(Sort::Bool { may_be_null: true }) = self.sort(operand) {
            let operand = self.rewrite(operand);
            return is(place, operand, false);
        }
        let operand = self.truth(operand);
        Expr::call(place, "!_", [operand])
    }

    fn rewrite(&mut self, expr: &Expr) -> Expr {
        let place = expr.place;
        let kind = match &expr.kind {
            ExprKind::Literal(_) => return expr.clone(),
            ExprKind::Ident(_) => return self.name(expr),
            ExprKind::Select { operand, field } => {
                if self.is_name(expr) {
                    return self.name(expr);
                }
                let field = self.field_of(place, operand, field);
                let operand = Box::new(self.rewrite(operand));
                ExprKind::Select { operand, field }
            }
            ExprKind::Has { operand, field } => return self.has(place, operand, field),
            ExprKind::Call {
                function,
                target,
                arguments,
            } => return self.call(place, function, target.as_deref(), arguments),
            ExprKind::List(elements) => ExprKind::List(
                elements
                    .iter()
                    .map(|element| self.rewrite(element))
                    .collect(),
            ),
            ExprKind::Map(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(key, value)| (self.rewrite(key), self.rewrite(value)));
                ExprKind::Map(entries.collect())
            }
            ExprKind::Message { name, fields } => {
                let fields = fields.iter().map(|field| FieldInit {
                    value: self.rewrite(&field.value),
                    ..field.clone()
                });
                ExprKind::Message {
                    name: name.clone(),
                    fields: fields.collect(),
                }
            }
            ExprKind::Comprehension(comprehension) => {
                let comprehension = self.comprehension(comprehension);
                ExprKind::Comprehension(Box::new(comprehension))
            }
        };
        Expr::new(place, kind)
    }

    fn call(
        &mut self,
        place: usize,
        function: &str,
        target: Option<&Expr>,
        arguments: &[Expr],
    ) -> Expr {
        match (function, target, arguments) {
            ("_&&_" | "_||_", None, [left, right]) => {
                let parts = [self.truth(left), self.truth(right)];
                return Expr::call(place, function, parts);
            }
            ("!_", None, [operand]) => return self.not(place, operand),
            ("_?_:_", None, [condition, when_true, when_false]) => {
                let parts = [
                    self.truth(condition),
                    self.rewrite(when_true),
                    self.rewrite(when_false),
                ];
                return Expr::call(place, function, parts);
            }
            ("@in", None, [value, of]) => return self.contained(place, value, of),
            (_, None, [left, right]) if is_between_values(function) => {
                return self.compared(place, function, left, right);
            }
            ("glob", Some(target), [pattern]) => return self.glob(place, target, pattern),
            _ => {}
        }
        let rewritten = ExprKind::Call {
            function: function.to_owned(),
            target: target.map(|target| Box::new(self.rewrite(target))),
            arguments: arguments
                .iter()
                .map(|argument| self.rewrite(argument))
                .collect(),
        };
        Expr::new(place, rewritten)
    }

    fn glob(&mut self, place: usize, target: &Expr, pattern: &Expr) -> Expr {
        let subject = self.subject(target);
        match self.sort(target) {
            Some(Sort::Text | Sort::Address) | None => {}
            Some(other) => {
                let problem = format!("'glob' asks about a text, '{subject}' is {}", other.words());
                self.mistakes.add(target.place, problem);
            }
        }
        let target = self.rewrite(target);
        let ExprKind::Literal(Literal::String(pattern)) = &pattern.kind else {
            let problem = "'glob' wants a pattern in quotes, as in \"web-*\"";
            self.mistakes.add(pattern.place, problem);
            return target;
        };
        let note = format!("{subject} looks like {pattern}");
        self.notes.insert(place, note);
        glob::question(place, target, pattern)
    }

    fn has(&mut self, place: usize, operand: &Expr, field: &str) -> Expr {
        let select = ExprKind::Select {
            operand: Box::new(operand.clone()),
            field: field.to_owned(),
        };
        let rewritten = self.rewrite(&Expr::new(place, select));
        match rewritten.kind {
            ExprKind::Select { operand, field } => {
                Expr::new(place, ExprKind::Has { operand, field })
            }
            _ => {
                let problem =
                    format!("'{field}' stands for more than one field, compare it with 0");
                self.mistakes.add(place, problem);
                Expr::new(place, rewritten.kind)
            }
        }
    }

    fn comprehension(&mut self, comprehension: &Comprehension) -> Comprehension {
        let element = match self.sort(&comprehension.range) {
            Some(Sort::List(element)) => Some(*element),
            _ => None,
        };
        let range = self.rewrite(&comprehension.range);
        self.locals.push((comprehension.variable.clone(), element));
        let predicate = comprehension.predicate.as_ref();
        let predicate = predicate.map(|predicate| self.truth(predicate));
        let transform = comprehension.transform.as_ref();
        let transform = transform.map(|transform| match comprehension.kind {
            ComprehensionKind::Map => self.rewrite(transform),
            _ => self.truth(transform),
        });
        self.locals.pop();
        Comprehension {
            range,
            variable: comprehension.variable.clone(),
            kind: comprehension.kind,
            predicate,
            transform,
        }
    }

    /// Whether an expression spells a name, and that of no variable.
    fn is_name(&self, expr: &Expr) -> bool {
        let Some(name) = qualified_name(expr) else {
            return false;
        };
        let root = name.split('.').next().unwrap_or_default();
        !self.locals.iter().any(|(local, _)| local == root)
    }

    /// A name that is spelled out: a field, a constant, a type.
    fn name(&mut self, expr: &Expr) -> Expr {
        let Some(name) = qualified_name(expr).filter(|_| self.is_name(expr)) else {
            return expr.clone();
        };
        if name == VARIABLE || matches!(self.schema.named(&name), Some(Named::Constant(_))) {
            return expr.clone();
        }
        let parts: Vec<&str> = parts(&name).collect();
        match names::meaning(&self.flow, &parts) {
            Ok(Meaning::Fields(fields)) => {
                let fields: Vec<&str> = fields.iter().map(|field| field.name()).collect();
                select(expr.place, &fields)
            }
            Ok(Meaning::Port(side)) => {
                let note = format!("{side}.{}", names::PORT);
                self.notes.insert(expr.place, note);
                port(expr.place, side)
            }
            Err(_) if self.schema.named(&name).is_some() => expr.clone(),
            Err(unknown) => {
                let skipped = name.split('.').count() - parts.len();
                let place = self.place_of(expr, unknown.part + skipped);
                self.mistakes.add(place, unknown.problem);
                expr.clone()
            }
        }
    }

    /// Where the part of a name begins.
    fn place_of(&self, expr: &Expr, part: usize) -> usize {
        let mut places = Vec::new();
        let mut next = Some(expr);
        while let Some(expr) = next {
            places.push(expr.place);
            next = match &expr.kind {
                ExprKind::Select { operand, .. } => Some(&**operand),
                _ => None,
            };
        }
        places.reverse();
        let place = places.get(part).copied().unwrap_or(expr.place);
        let rest = self.text.get(place..).unwrap_or_default();
        // A selection is placed at its dot.
        let name = rest.trim_start_matches(|letter: char| letter == '.' || letter.is_whitespace());
        place + rest.len() - name.len()
    }

    /// The name of a field of something that is more than a name.
    fn field_of(&mut self, place: usize, operand: &Expr, name: &str) -> String {
        let Some(Sort::Message(message)) = self.sort(operand) else {
            return name.to_owned();
        };
        match names::field(&message, name) {
            Some(field) => field.name().to_owned(),
            None => {
                let subject = self.subject(operand);
                let problem = names::no_field(&message, &subject, name);
                self.mistakes.add(place + 1, problem);
                name.to_owned()
            }
        }
    }

    /// How to speak of an operand.
    fn subject(&self, expr: &Expr) -> String {
        let name = qualified_name(expr).filter(|_| self.is_name(expr));
        let meaning = name.as_deref().map(|name| {
            let parts: Vec<&str> = parts(name).collect();
            names::meaning(&self.flow, &parts)
        });
        match meaning {
            Some(Ok(Meaning::Fields(fields))) => names::path(&fields),
            Some(Ok(Meaning::Port(side))) => format!("{side}.{}", names::PORT),
            _ => spelled(expr),
        }
    }

    /// What an operand is; `None` if its name does not tell.
    fn sort(&self, expr: &Expr) -> Option<Sort> {
        match &expr.kind {
            ExprKind::Ident(name) if !self.is_name(expr) => {
                let local = self.locals.iter().rev().find(|(local, _)| local == name);
                local.and_then(|(_, sort)| sort.clone())
            }
            ExprKind::Ident(_) | ExprKind::Select { .. } if self.is_name(expr) => {
                let name = qualified_name(expr)?;
                let parts: Vec<&str> = parts(&name).collect();
                if let Some(Named::Constant(_)) = self.schema.named(&name) {
                    return None;
                }
                match names::meaning(&self.flow, &parts).ok()? {
                    Meaning::Fields(fields) => fields.last().map(Sort::of_field),
                    Meaning::Port(_) => Some(Sort::Uint),
                }
            }
            ExprKind::Select { operand, field } => match self.sort(operand)? {
                Sort::Message(message) => {
                    names::field(&message, field).map(|field| Sort::of_field(&field))
                }
                _ => None,
            },
            ExprKind::Call {
                function,
                arguments,
                ..
            } => self.sort_of_call(function, arguments),
            _ => None,
        }
    }

    fn sort_of_call(&self, function: &str, arguments: &[Expr]) -> Option<Sort> {
        let mut known = arguments.iter().filter_map(|argument| self.sort(argument));
        match function {
            "_[_]" => match self.sort(arguments.first()?)? {
                Sort::List(element) => Some(*element),
                _ => None,
            },
            "_+_" | "_-_" | "_*_" | "_/_" | "_%_" => {
                known.find(|sort| matches!(sort, Sort::Int | Sort::Uint))
            }
            "int" | "size" => Some(Sort::Int),
            "string" => Some(Sort::Text),
            "uint" => Some(Sort::Uint),
            _ => None,
        }
    }
}

/// The parts of a name behind the variable, which need not be written.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let name = name.strip_prefix('.').unwrap_or(name);
    let name = name
        .strip_prefix(VARIABLE)
        .map_or(name, |rest| rest.strip_prefix('.').unwrap_or(name));
    name.split('.')
}

fn is_between_values(function: &str) -> bool {
    matches!(
        function,
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_+_" | "_-_" | "_*_" | "_/_" | "_%_"
    )
}

/// Fields of the flow, each in the one before it.
fn select(place: usize, fields: &[&str]) -> Expr {
    let flow = Expr::new(place, ExprKind::Ident(VARIABLE.to_owned()));
    fields.iter().fold(flow, |operand, field| {
        let operand = Box::new(operand);
        let field = (*field).to_owned();
        Expr::new(place, ExprKind::Select { operand, field })
    })
}

/// A name with dots, as of a constant.
fn named(place: usize, name: &str) -> Expr {
    let mut parts = name.split('.').map(str::to_owned);
    let first = Expr::new(place, ExprKind::Ident(parts.next().unwrap_or_default()));
    parts.fold(first, |operand, field| {
        let operand = Box::new(operand);
        Expr::new(place, ExprKind::Select { operand, field })
    })
}

fn port(place: usize, side: Side) -> Expr {
    let [first, rest @ ..] = WITH_PORTS.map(|protocol| {
        let field = match side {
            Side::Source => "source_port",
            Side::Destination => "destination_port",
        };
        select(place, &["l4", protocol, field])
    });
    rest.into_iter()
        .fold(first, |sum, port| Expr::call(place, "_+_", [sum, port]))
}

fn is(place: usize, operand: Expr, value: bool) -> Expr {
    let value = Expr::literal(place, Literal::Bool(value));
    Expr::call(place, "_==_", [operand, value])
}

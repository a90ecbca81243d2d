//! From what people write to what every server of Hubble understands. In: the syntax of an
//! expression. Out: the same with full names of fields, and with values of the type that the fields
//! beside them have.
//!
//! What is good CEL already comes out as it went in. Only what would be a mistake there is read in
//! another way: a name without `_flow`, the name of an enum's value as text, a number without `u`, a
//! range of addresses, a pattern.

mod compare;
mod name;
mod value;

use std::collections::BTreeMap;

use prost_reflect::MessageDescriptor;

use super::glob;
use super::sort::Sort;
use crate::cel::report::{Mistakes, Report};
use crate::cel::schema::{Schema, VARIABLE};
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

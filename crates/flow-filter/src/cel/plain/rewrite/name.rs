//! Names in an expression: what each stands for, and what the operand is that it makes.

use super::{Rewriter, port, select};
use crate::cel::macros::qualified_name;
use crate::cel::plain::names::{self, Meaning};
use crate::cel::plain::sort::Sort;
use crate::cel::schema::{Named, VARIABLE};
use crate::cel::spell::spelled;
use crate::cel::syntax::{Expr, ExprKind};

impl Rewriter<'_> {
    /// Whether an expression spells a name, and that of no variable.
    pub(super) fn is_name(&self, expr: &Expr) -> bool {
        let Some(name) = qualified_name(expr) else {
            return false;
        };
        let root = name.split('.').next().unwrap_or_default();
        !self.locals.iter().any(|(local, _)| local == root)
    }

    /// A name that is spelled out: a field, a constant, a type.
    pub(super) fn name(&mut self, expr: &Expr) -> Expr {
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
    pub(super) fn field_of(&mut self, place: usize, operand: &Expr, name: &str) -> String {
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
    pub(super) fn subject(&self, expr: &Expr) -> String {
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
    pub(super) fn sort(&self, expr: &Expr) -> Option<Sort> {
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

//! Comparisons, and what is in a list or in a range.

use super::Rewriter;
use super::value::constant;
use crate::address::Address;
use crate::cel::plain::range;
use crate::cel::plain::sort::Sort;
use crate::cel::syntax::{Expr, ExprKind, Literal};
use crate::prefix::Prefix;

impl Rewriter<'_> {
    /// Two operands that must be of one type: the one that has a name decides.
    pub(super) fn compared(
        &mut self,
        place: usize,
        function: &str,
        left: &Expr,
        right: &Expr,
    ) -> Expr {
        let parts = match (self.sort_beside(left, right), self.sort_beside(right, left)) {
            (Some(sort), None) => {
                let subject = self.subject(left);
                [self.rewrite(left), self.value(right, &sort, &subject)]
            }
            (None, Some(sort)) => {
                let subject = self.subject(right);
                [self.value(left, &sort, &subject), self.rewrite(right)]
            }
            _ => [self.rewrite(left), self.rewrite(right)],
        };
        Expr::call(place, function, parts)
    }

    /// What an operand is beside another. The name of a value is one even if a field has that name,
    /// too: `type == l7`.
    fn sort_beside(&self, expr: &Expr, other: &Expr) -> Option<Sort> {
        if let ExprKind::Ident(name) = &expr.kind
            && let Some(Sort::Enum(names)) = self.sort(other)
            && constant(&names, name).is_some()
        {
            return None;
        }
        self.sort(expr)
    }

    /// `value in of`
    pub(super) fn contained(&mut self, place: usize, value: &Expr, of: &Expr) -> Expr {
        let sort = self.sort(value);
        if let Some(Sort::Address) = sort {
            match &of.kind {
                ExprKind::List(elements) => return self.in_ranges(place, value, elements),
                ExprKind::Literal(Literal::String(_)) => {
                    return self.in_ranges(place, value, std::slice::from_ref(of));
                }
                _ => {}
            }
        }
        let parts = match (sort, &of.kind) {
            (Some(sort), ExprKind::List(elements)) => {
                let subject = self.subject(value);
                let elements = elements
                    .iter()
                    .map(|element| self.value(element, &sort, &subject))
                    .collect();
                let of = Expr::new(of.place, ExprKind::List(elements));
                [self.rewrite(value), of]
            }
            (_, ExprKind::Literal(literal)) => {
                let example = match literal {
                    Literal::String(text) => format!("[\"{text}\"]"),
                    _ => "[80, 443]".to_owned(),
                };
                let problem = format!("'in' wants a list, as in {example}");
                self.mistakes.add(of.place, problem);
                [value.clone(), of.clone()]
            }
            _ => match self.sort(of) {
                Some(Sort::List(element)) => {
                    let subject = self.subject(of);
                    [self.value(value, &element, &subject), self.rewrite(of)]
                }
                _ => [self.rewrite(value), self.rewrite(of)],
            },
        };
        Expr::call(place, "@in", parts)
    }

    /// Whether an address is one of these, or in one of these ranges.
    fn in_ranges(&mut self, place: usize, value: &Expr, elements: &[Expr]) -> Expr {
        let subject = self.subject(value);
        let address = self.rewrite(value);
        let mut ways = Vec::new();
        let mut addresses = Vec::new();
        let mut words = Vec::new();
        for element in elements {
            let text = match &element.kind {
                ExprKind::Literal(Literal::String(text)) => {
                    words.push(text.as_str());
                    Some(text).filter(|text| text.contains('/'))
                }
                _ => None,
            };
            match text.map(|text| Prefix::parse(text)) {
                Some(Ok(range)) => {
                    let pattern = Expr::text(element.place, range::pattern(&range));
                    ways.push(Expr::method(place, address.clone(), "matches", pattern));
                }
                Some(Err(error)) => {
                    let problem = format!("this is no range of addresses: {error}");
                    self.mistakes.add(element.place, problem);
                }
                None => addresses.push(self.value(element, &Sort::Address, &subject)),
            }
        }
        if !ways.is_empty() {
            let note = match words.as_slice() {
                [range] => format!("{subject} is in {range}"),
                words => format!("{subject} is in one of {}", words.join(", ")),
            };
            self.notes.insert(place, note);
        }
        if ways.is_empty() || !addresses.is_empty() {
            let of = Expr::new(place, ExprKind::List(addresses));
            ways.insert(0, Expr::call(place, "@in", [address, of]));
        }
        any(place, ways)
    }

    /// An address as flows write it.
    pub(super) fn address(&mut self, place: usize, text: &str, subject: &str) -> Expr {
        match Address::parse(text) {
            Ok(address) if !address.has_zone => return Expr::text(place, address.ip.to_string()),
            // That of a flow without IP.
            _ if text.is_empty() => {}
            _ if Prefix::parse(text).is_ok() => {
                let problem = format!("this is a range, write {subject} in \"{text}\"");
                self.mistakes.add(place, problem);
            }
            _ => {
                let problem = format!("'{subject}' is an address, and \"{text}\" is none");
                self.mistakes.add(place, problem);
            }
        }
        Expr::text(place, text)
    }
}

/// Any of the ways, no deeper than it needs to be.
fn any(place: usize, mut ways: Vec<Expr>) -> Expr {
    while ways.len() > 1 {
        let mut pairs = Vec::with_capacity(ways.len().div_ceil(2));
        let mut rest = ways.into_iter();
        while let Some(one) = rest.next() {
            pairs.push(match rest.next() {
                Some(other) => Expr::call(place, "_||_", [one, other]),
                None => one,
            });
        }
        ways = pairs;
    }
    let none = || Expr::literal(place, Literal::Bool(false));
    ways.pop().unwrap_or_else(none)
}

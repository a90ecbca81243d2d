//! What `all`, `exists`, `filter` and `map` ask of elements, and what comes of it.

use super::{Checker, Typed};
use crate::cel::program::{self, Node};
use crate::cel::syntax::{Comprehension, ComprehensionKind, Expr};
use crate::cel::types::Type;

impl Checker<'_> {
    pub(super) fn comprehension(&mut self, place: usize, comprehension: &Comprehension) -> Typed {
        let (range, of) = self.check(&comprehension.range);
        let element = match self.types.resolved(&of, false) {
            Type::List(element) => *element,
            Type::Map(of) => of.0,
            Type::Dyn | Type::Error => Type::Dyn,
            of @ Type::Param(_) => {
                self.types.fit(&[Type::Dyn], &[of]);
                Type::Dyn
            }
            of => {
                let problem = format!(
                    "expression of type '{of}' cannot be range of a comprehension (must be list, \
                     map, or dynamic)"
                );
                self.mistakes.add(comprehension.range.place, problem);
                Type::Error
            }
        };
        self.locals
            .push((comprehension.variable.clone(), element.clone()));
        let predicate = comprehension.predicate.as_ref();
        let predicate = predicate.map(|predicate| self.predicate(place, comprehension, predicate));
        let transform = comprehension.transform.as_ref();
        let transform = transform.map(|transform| self.check(transform));
        self.locals.pop();
        let (transform, transformed) = match transform {
            Some((node, of)) => (Some(node), of),
            None => (None, Type::Error),
        };
        let of = match comprehension.kind {
            ComprehensionKind::All | ComprehensionKind::Exists | ComprehensionKind::ExistsOne => {
                Type::Bool
            }
            ComprehensionKind::Filter => Type::list(element),
            ComprehensionKind::Map => Type::list(transformed),
        };
        let node = program::Comprehension {
            range,
            kind: comprehension.kind,
            predicate,
            transform,
        };
        (Node::Comprehension(Box::new(node)), of)
    }

    /// A question that must have yes or no for an answer. The mistake is told as that of the
    /// operator which joins the answers.
    fn predicate(&mut self, place: usize, comprehension: &Comprehension, predicate: &Expr) -> Node {
        let (node, of) = self.check(predicate);
        if !self.types.fit(std::slice::from_ref(&of), &[Type::Bool]) {
            let of = self.types.resolved(&of, true);
            let applied = match comprehension.kind {
                ComprehensionKind::All => format!("'_&&_' applied to '(bool, {of})'"),
                ComprehensionKind::Exists => format!("'_||_' applied to '(bool, {of})'"),
                ComprehensionKind::ExistsOne => format!("'_?_:_' applied to '({of}, int, int)'"),
                ComprehensionKind::Filter | ComprehensionKind::Map => {
                    format!("'_?_:_' applied to '({of}, list(dyn), list(dyn))'")
                }
            };
            self.mistakes
                .add(place, format!("found no matching overload for {applied}"));
        }
        node
    }
}

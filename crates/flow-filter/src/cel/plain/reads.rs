//! Which fields of a flow an expression reads.

use std::collections::BTreeSet;

use prost_reflect::Kind;

use crate::cel::macros::qualified_name;
use crate::cel::schema::{Schema, VARIABLE};
use crate::cel::syntax::{Expr, ExprKind};

/// The paths of a field mask that holds all that is read; `None` for the whole flow.
pub(super) fn reads(expr: &Expr) -> Option<Vec<String>> {
    let mut paths = BTreeSet::new();
    collect(expr, &mut paths).then(|| paths.into_iter().collect())
}

/// False if the flow is read as a whole.
fn collect(expr: &Expr, paths: &mut BTreeSet<String>) -> bool {
    match &expr.kind {
        ExprKind::Literal(_) => true,
        ExprKind::Ident(name) => name.trim_start_matches('.') != VARIABLE,
        ExprKind::Select { operand, field } | ExprKind::Has { operand, field } => {
            let name = qualified_name(operand).map(|name| format!("{name}.{field}"));
            let path = name.as_deref().and_then(|name| {
                let name = name.strip_prefix('.').unwrap_or(name);
                name.strip_prefix(VARIABLE)?.strip_prefix('.')
            });
            match path {
                Some(path) => {
                    paths.insert(masked(path));
                    true
                }
                None => collect(operand, paths),
            }
        }
        ExprKind::Call {
            target, arguments, ..
        } => {
            let mut parts = target.iter().map(|target| &**target).chain(arguments);
            parts.all(|part| collect(part, paths))
        }
        ExprKind::List(elements) => elements.iter().all(|element| collect(element, paths)),
        ExprKind::Map(entries) => {
            let mut entries = entries.iter();
            entries.all(|(key, value)| collect(key, paths) && collect(value, paths))
        }
        ExprKind::Message { fields, .. } => {
            let mut fields = fields.iter();
            fields.all(|field| collect(&field.value, paths))
        }
        ExprKind::Comprehension(comprehension) => {
            let parts = [&comprehension.predicate, &comprehension.transform];
            let parts = parts.into_iter().flatten();
            std::iter::once(&comprehension.range)
                .chain(parts)
                .all(|part| collect(part, paths))
        }
    }
}

/// As far as a mask can go: it cannot tell the elements of a list apart.
fn masked(path: &str) -> String {
    let mut message = Schema::get().and_then(Schema::flow);
    let mut names = Vec::new();
    for name in path.split('.') {
        let Some(field) = message.and_then(|message| message.get_field_by_name(name)) else {
            break;
        };
        names.push(name);
        message = match field.kind() {
            Kind::Message(message) if !field.is_list() => Some(message),
            _ => None,
        };
    }
    names.join(".")
}

//! Calls that are no calls: `has` and the comprehensions. Asked by `parse` about each call.

use super::syntax::{Comprehension, ComprehensionKind, Expr, ExprKind};

/// Why a call that looks like a macro is none.
pub(super) struct Mistake {
    /// Where, if not at the call itself.
    pub(super) place: Option<usize>,
    pub(super) problem: &'static str,
}

/// A call of a function by its name.
pub(super) fn function(function: String, mut arguments: Vec<Expr>) -> Result<ExprKind, Mistake> {
    if function == "has" && arguments.len() == 1 {
        return match arguments.pop().map(|argument| argument.kind) {
            Some(ExprKind::Select { operand, field }) => Ok(ExprKind::Has { operand, field }),
            _ => Err(Mistake {
                place: None,
                problem: "invalid argument to has() macro",
            }),
        };
    }
    Ok(ExprKind::Call {
        function,
        target: None,
        arguments,
    })
}

/// A call of a function on a value.
pub(super) fn method(
    target: Expr,
    function: String,
    arguments: Vec<Expr>,
) -> Result<ExprKind, Mistake> {
    let kind = match (&*function, arguments.len()) {
        ("all", 2) => ComprehensionKind::All,
        ("exists", 2) => ComprehensionKind::Exists,
        ("exists_one" | "existsOne", 2) => ComprehensionKind::ExistsOne,
        ("filter", 2) => ComprehensionKind::Filter,
        ("map", 2 | 3) => ComprehensionKind::Map,
        _ => {
            return Ok(ExprKind::Call {
                function,
                target: Some(Box::new(target)),
                arguments,
            });
        }
    };
    let mut arguments = arguments.into_iter();
    let variable = match arguments.next() {
        Some(Expr {
            kind: ExprKind::Ident(name),
            ..
        }) if !name.starts_with('.') => name,
        other => {
            return Err(Mistake {
                place: other.map(|argument| argument.place),
                problem: "argument must be a simple name",
            });
        }
    };
    let last = arguments.next_back();
    let (predicate, transform) = if kind == ComprehensionKind::Map {
        (arguments.next(), last)
    } else {
        (last, None)
    };
    Ok(ExprKind::Comprehension(Box::new(Comprehension {
        range: target,
        variable,
        kind,
        predicate,
        transform,
    })))
}

/// What `a.b.c` spells, if the expression is nothing else.
pub(super) fn qualified_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Ident(name) => Some(name.clone()),
        ExprKind::Select { operand, field } => {
            let mut name = qualified_name(operand)?;
            name.push('.');
            name.push_str(field);
            Some(name)
        }
        _ => None,
    }
}

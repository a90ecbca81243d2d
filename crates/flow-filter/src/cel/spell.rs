//! Syntax back into text. In: an expression. Out: a text that reads as the same expression, with as
//! few parentheses as it needs.

use super::syntax::{Comprehension, ComprehensionKind, Expr, ExprKind, Literal};

/// How tightly the parts of an expression hold together, loosest first. What stands where a tighter
/// part is wanted goes into parentheses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Tightness {
    Conditional,
    Or,
    And,
    Relation,
    Sum,
    Product,
    Unary,
    Member,
}

use Tightness::{And, Conditional, Member, Or, Product, Relation, Sum, Unary};

/// Operators between two operands.
const BINARY: [(&str, &str, Tightness); 14] = [
    ("_||_", "||", Or),
    ("_&&_", "&&", And),
    ("_<=_", "<=", Relation),
    ("_>=_", ">=", Relation),
    ("_<_", "<", Relation),
    ("_>_", ">", Relation),
    ("_==_", "==", Relation),
    ("_!=_", "!=", Relation),
    ("@in", "in", Relation),
    ("_+_", "+", Sum),
    ("_-_", "-", Sum),
    ("_*_", "*", Product),
    ("_/_", "/", Product),
    ("_%_", "%", Product),
];

/// The text of an expression.
pub(super) fn spelled(expr: &Expr) -> String {
    let mut out = String::new();
    spell(&mut out, expr, Conditional);
    out
}

/// The sign of an operator between two operands.
pub(super) fn operator(function: &str) -> Option<&'static str> {
    let found = BINARY.iter().find(|(name, ..)| *name == function);
    found.map(|(_, sign, _)| *sign)
}

fn spell(out: &mut String, expr: &Expr, wanted: Tightness) {
    let is_loose = tightness(expr) < wanted;
    if is_loose {
        out.push('(');
    }
    match &expr.kind {
        ExprKind::Literal(literal) => spell_literal(out, literal),
        ExprKind::Ident(name) => out.push_str(name),
        ExprKind::Select { operand, field } => {
            spell(out, operand, Member);
            out.push('.');
            out.push_str(field);
        }
        ExprKind::Has { operand, field } => {
            out.push_str("has(");
            spell(out, operand, Member);
            out.push('.');
            out.push_str(field);
            out.push(')');
        }
        ExprKind::Call {
            function,
            target,
            arguments,
        } => spell_call(out, function, target.as_deref(), arguments),
        ExprKind::List(elements) => {
            out.push('[');
            spell_list(out, elements);
            out.push(']');
        }
        ExprKind::Map(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                separate(out, index);
                spell(out, key, Conditional);
                out.push_str(": ");
                spell(out, value, Conditional);
            }
            out.push('}');
        }
        ExprKind::Message { name, fields } => {
            out.push_str(name);
            out.push('{');
            for (index, field) in fields.iter().enumerate() {
                separate(out, index);
                out.push_str(&field.name);
                out.push_str(": ");
                spell(out, &field.value, Conditional);
            }
            out.push('}');
        }
        ExprKind::Comprehension(comprehension) => spell_comprehension(out, comprehension),
    }
    if is_loose {
        out.push(')');
    }
}

fn tightness(expr: &Expr) -> Tightness {
    match &expr.kind {
        // The sign of a number is an operator to who reads it.
        ExprKind::Literal(Literal::Int(number)) if *number < 0 => Unary,
        ExprKind::Literal(Literal::Double(number)) if number.is_sign_negative() => Unary,
        ExprKind::Call {
            function,
            target: None,
            ..
        } => match function.as_str() {
            "_?_:_" => Conditional,
            "!_" | "-_" => Unary,
            _ => BINARY
                .iter()
                .find(|(name, ..)| name == function)
                .map_or(Member, |(.., tightness)| *tightness),
        },
        _ => Member,
    }
}

fn spell_call(out: &mut String, function: &str, target: Option<&Expr>, arguments: &[Expr]) {
    if let Some(target) = target {
        spell(out, target, Member);
        out.push('.');
    } else {
        match (function, arguments) {
            ("_?_:_", [condition, when_true, when_false]) => {
                spell(out, condition, Or);
                out.push_str(" ? ");
                spell(out, when_true, Or);
                out.push_str(" : ");
                spell(out, when_false, Conditional);
                return;
            }
            ("!_", [operand]) => {
                out.push('!');
                spell(out, operand, Member);
                return;
            }
            ("-_", [operand]) => {
                out.push('-');
                // Behind a sign, a number would take it.
                let is_number =
                    matches!(operand.kind, ExprKind::Literal(_)) && tightness(operand) == Member;
                if is_number {
                    out.push('(');
                }
                spell(out, operand, Member);
                if is_number {
                    out.push(')');
                }
                return;
            }
            ("_[_]", [of, index]) => {
                spell(out, of, Member);
                out.push('[');
                spell(out, index, Conditional);
                out.push(']');
                return;
            }
            (_, [left, right]) => {
                let operator = BINARY.iter().find(|(name, ..)| *name == function);
                if let Some((_, sign, tightness)) = operator {
                    let tighter = match tightness {
                        // May be grouped in any way.
                        Or | And => *tightness,
                        Relation => Sum,
                        Sum => Product,
                        _ => Unary,
                    };
                    spell(out, left, *tightness);
                    out.push(' ');
                    out.push_str(sign);
                    out.push(' ');
                    spell(out, right, tighter);
                    return;
                }
            }
            _ => {}
        }
    }
    out.push_str(function);
    out.push('(');
    spell_list(out, arguments);
    out.push(')');
}

fn spell_comprehension(out: &mut String, comprehension: &Comprehension) {
    spell(out, &comprehension.range, Member);
    out.push_str(match comprehension.kind {
        ComprehensionKind::All => ".all(",
        ComprehensionKind::Exists => ".exists(",
        ComprehensionKind::ExistsOne => ".exists_one(",
        ComprehensionKind::Filter => ".filter(",
        ComprehensionKind::Map => ".map(",
    });
    out.push_str(&comprehension.variable);
    let parts = [&comprehension.predicate, &comprehension.transform];
    for part in parts.into_iter().flatten() {
        out.push_str(", ");
        spell(out, part, Conditional);
    }
    out.push(')');
}

fn spell_list(out: &mut String, elements: &[Expr]) {
    for (index, element) in elements.iter().enumerate() {
        separate(out, index);
        spell(out, element, Conditional);
    }
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push_str(", ");
    }
}

fn spell_literal(out: &mut String, literal: &Literal) {
    match literal {
        Literal::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Literal::Bytes(bytes) => {
            out.push_str("b\"");
            for byte in bytes {
                out.push_str(&format!("\\x{byte:02x}"));
            }
            out.push('"');
        }
        Literal::Double(number) => out.push_str(&format!("{number:?}")),
        Literal::Int(number) => out.push_str(&number.to_string()),
        Literal::Null => out.push_str("null"),
        Literal::String(text) => spell_text(out, text),
        Literal::Uint(number) => out.push_str(&format!("{number}u")),
    }
}

fn spell_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character.is_control() => {
                out.push_str(&format!("\\U{:08x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cel::parse::parse;
    use crate::cel::tests::generated::any_question;

    fn again(text: &str) -> String {
        spelled(&parse(text).unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    #[test]
    fn what_is_spelled_needs_no_more_parentheses_than_its_meaning() {
        for (written, expected) in [
            ("a&&(b||c)", "a && (b || c)"),
            ("(a && b) && (c && d)", "a && b && c && d"),
            ("(a&&b)||c", "a && b || c"),
            ("!(a == b)", "!(a == b)"),
            ("!a.b", "!a.b"),
            ("- 5", "-5"),
            ("-(5)", "-(5)"),
            ("-(-5)", "-(-5)"),
            ("-9223372036854775808 < 1.0", "-9223372036854775808 < 1.0"),
            ("a - (b - c) - d", "a - (b - c) - d"),
            ("a * (b + c) % 2u", "a * (b + c) % 2u"),
            (
                "(a ? b : c) ? d : (e ? f : g)",
                "(a ? b : c) ? d : e ? f : g",
            ),
            ("x in [1, 2,]", "x in [1, 2]"),
            ("a.b[0].c('d')", "a.b[0].c(\"d\")"),
            ("has(a.b.c)", "has(a.b.c)"),
            ("a.map(x, x > 1, -x)", "a.map(x, x > 1, -x)"),
            ("a.existsOne(x, x)", "a.exists_one(x, x)"),
            ("flow.Flow{uuid: 'a'} == {}", "flow.Flow{uuid: \"a\"} == {}"),
            ("{'a': 1, 2: b}", "{\"a\": 1, 2: b}"),
            (r#""\a\n\"\\é" + b'\xff\x00'"#, ""),
        ] {
            let spelled = again(written);
            if !expected.is_empty() {
                assert_eq!(spelled, expected);
            }
            assert_eq!(again(&spelled), spelled, "{written}");
        }
    }

    #[test]
    fn texts_keep_every_character() {
        let text: String = (0..0x300).filter_map(char::from_u32).collect();
        let spelled = spelled(&Expr::text(0, text.clone()));
        match parse(&spelled).unwrap().kind {
            ExprKind::Literal(Literal::String(read)) => assert_eq!(read, text),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn what_is_spelled_reads_the_same(expression in any_question()) {
            let once = again(&expression);
            prop_assert_eq!(&again(&once), &once);
            // The parts are the same, but for how chains of && and || are grouped.
            let parts = |text: &str| {
                let mut parts = format!("{:?}", parse(text).unwrap());
                parts.retain(|letter| letter.is_alphabetic());
                let mut letters: Vec<char> = parts.chars().collect();
                letters.sort_unstable();
                letters
            };
            prop_assert_eq!(parts(&once), parts(&expression));
        }
    }
}

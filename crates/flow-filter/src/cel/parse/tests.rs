//! What is grouped how, and what is refused in which words.

use proptest::prelude::*;

use super::*;

/// The expression with all its groups in parentheses.
fn shown(expr: &Expr) -> String {
    let list = |parts: &[Expr]| parts.iter().map(shown).collect::<Vec<_>>().join(", ");
    match &expr.kind {
        ExprKind::Literal(literal) => format!("{literal:?}"),
        ExprKind::Ident(name) => name.clone(),
        ExprKind::Select { operand, field } => format!("{}.{field}", shown(operand)),
        ExprKind::Has { operand, field } => format!("has({}.{field})", shown(operand)),
        ExprKind::Call {
            function,
            target,
            arguments,
        } => match target {
            Some(target) => format!("{}.{function}({})", shown(target), list(arguments)),
            None => format!("{function}({})", list(arguments)),
        },
        ExprKind::List(elements) => format!("[{}]", list(elements)),
        ExprKind::Map(entries) => {
            let entries = entries.iter();
            let entries: Vec<_> = entries
                .map(|(key, value)| format!("{}: {}", shown(key), shown(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        ExprKind::Message { name, fields } => {
            let fields = fields.iter();
            let fields: Vec<_> = fields
                .map(|field| format!("{}: {}", field.name, shown(&field.value)))
                .collect();
            format!("{name}{{{}}}", fields.join(", "))
        }
        ExprKind::Comprehension(it) => {
            let parts = [&it.predicate, &it.transform].into_iter().flatten();
            let parts: Vec<_> = parts.map(shown).collect();
            format!(
                "{:?}({} of {}: {})",
                it.kind,
                it.variable,
                shown(&it.range),
                parts.join(" -> ")
            )
        }
    }
}

#[test]
fn operators_bind_as_the_language_says() {
    for (expression, expected) in [
        ("a + b * c - d", "_-_(_+_(a, _*_(b, c)), d)"),
        ("(a + b) % c", "_%_(_+_(a, b), c)"),
        ("a < b == c in d", "@in(_==_(_<_(a, b), c), d)"),
        ("a || b && c", "_||_(a, _&&_(b, c))"),
        ("a || b || c || d", "_||_(_||_(a, b), _||_(c, d))"),
        ("a ? b : c ? d : e", "_?_:_(a, b, _?_:_(c, d, e))"),
        ("!a.b", "!_(a.b)"),
        ("!!a", "a"),
        ("---a", "-_(a)"),
        ("-1", "Int(-1)"),
        ("-9223372036854775808", "Int(-9223372036854775808)"),
        ("- -1.5", "-_(Double(-1.5))"),
        ("a -1", "_-_(a, Int(1))"),
        ("-a[1].b(c, d)", "-_(_[_](a, Int(1)).b(c, d))"),
        (".a.b", ".a.b"),
        ("f()", "f()"),
        ("[a, b,]", "[a, b]"),
        ("[]", "[]"),
        ("{a: b, 'c': d,}", "{a: b, String(\"c\"): d}"),
        ("a.B{c: 1, d: {}}", "a.B{c: Int(1), d: {}}"),
        ("B{}.c", "B{}.c"),
        ("has(a.b)", "has(a.b)"),
        ("a.has(b)", "a.has(b)"),
        ("a.all(x, y)", "All(x of a: y)"),
        ("a.all(y)", "a.all(y)"),
        ("a.exists(x, y)", "Exists(x of a: y)"),
        ("a.exists_one(x, y)", "ExistsOne(x of a: y)"),
        ("a.filter(x, y)", "Filter(x of a: y)"),
        ("a.map(x, y)", "Map(x of a: y)"),
        ("a.map(x, y, z)", "Map(x of a: y -> z)"),
        ("a // b", "a"),
        ("a.namespace", "a.namespace"),
    ] {
        let parsed = parse(expression).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(shown(&parsed), expected, "{expression}");
    }
}

#[test]
fn mistakes_in_the_syntax_are_shown_where_they_are() {
    for (expression, expected) in [
        (
            "1 +",
            "1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', \
             'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("", "1:0: Syntax error: mismatched input '<EOF>'"),
        (
            "a b",
            "1:3: Syntax error: mismatched input 'b' expecting <EOF>",
        ),
        ("a.1", "1:2: Syntax error: mismatched input '.1'"),
        (
            "a.in",
            "1:3: Syntax error: mismatched input 'in' expecting IDENTIFIER",
        ),
        ("f(a,)", "1:5: Syntax error: mismatched input ')'"),
        (
            "(a",
            "1:3: Syntax error: mismatched input '<EOF>' expecting ')'",
        ),
        (
            "[a b]",
            "1:4: Syntax error: mismatched input 'b' expecting {']', ','}",
        ),
        (
            "a ? b",
            "1:6: Syntax error: mismatched input '<EOF>' expecting ':'",
        ),
        (
            "{a}",
            "1:3: Syntax error: mismatched input '}' expecting ':'",
        ),
        ("while", "1:1: reserved identifier: while"),
        ("has(a)", "1:4: invalid argument to has() macro"),
        ("a.all(b.c, d)", "1:8: argument must be a simple name"),
        (
            "9223372036854775808",
            "1:1: Syntax error: invalid int literal",
        ),
        ("a @", "1:3: Syntax error: token recognition error at: '@'"),
        ("'a", "1:1: Syntax error: token recognition error at: ''a'"),
    ] {
        let report = parse(expression).unwrap_err().to_string();
        let report = report.strip_prefix("ERROR: <input>:").unwrap();
        assert!(report.starts_with(expected), "{expression}: {report}");
    }
}

#[test]
fn an_expression_may_be_long_but_not_deep() {
    let long = vec!["a"; 4000].join(" || ");
    assert!(parse(&long).is_ok());
    for deep in [
        format!("{}a{}", "(".repeat(101), ")".repeat(101)),
        format!("{}a{}", "[".repeat(4000), "]".repeat(4000)),
        vec!["a"; 102].join(" + "),
        format!("a{}", ".a".repeat(4000)),
        "a ? a : ".repeat(4000),
    ] {
        let report = parse(&deep).unwrap_err().to_string();
        assert!(
            report.contains("expression recursion limit exceeded: 100"),
            "{report}"
        );
    }
    assert!(parse(&format!("{}a", "!".repeat(4001))).is_ok());
}

proptest! {
    #[test]
    fn no_text_panics(expression in r#"[abrx0-9u.'"\\\[\]{}()?:+*/%!=<>&|, \né_-]{0,32}"#) {
        drop(parse(&expression));
    }

    #[test]
    fn no_words_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", ".", "(", ")", "[", "]", "{", "}", "?", ":", ",", "&&", "||", "-", "!", "in",
                "1", "'s'", "has", "all", "map", "<", "==", "+",
            ]),
            0..24,
        )
    ) {
        drop(parse(&words.concat()));
    }
}

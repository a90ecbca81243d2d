//! The Kubernetes label selector language, in which keys may carry a label source, as in
//! `k8s:app in (web, db), !reserved:host`. In: a selector. Out: its requirements.

use crate::error::SelectorError;
use crate::kubernetes_name::{check_qualified_name, check_value};
use crate::label;
use crate::one_of::OneOf;
use crate::prefix::Prefix;

/// One condition of a selector. All of them must hold.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Requirement {
    pub(crate) key: SelectorKey,
    pub(crate) operator: Operator,
}

/// The key of a requirement.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SelectorKey {
    /// Where the label must come from; nothing for anywhere.
    pub(crate) source: Option<String>,
    pub(crate) name: String,
    /// The addresses that a key with source `cidr` stands for.
    pub(crate) cidr: Option<Prefix>,
}

/// What must hold for the value of the key.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Operator {
    Exists,
    DoesNotExist,
    In(OneOf<String>),
    NotIn(OneOf<String>),
    GreaterThan(i64),
    LessThan(i64),
}

impl Operator {
    /// Whether it never holds for a key that is not there.
    pub(crate) fn needs_label(&self) -> bool {
        !matches!(self, Self::DoesNotExist | Self::NotIn(_))
    }
}

/// The requirements of a selector. The empty text has none; white space alone is not empty.
pub(crate) fn parse(selector: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut requirements = Vec::new();
    if selector.is_empty() {
        return Ok(requirements);
    }
    let mut tokens = Tokens { rest: selector };
    loop {
        requirements.push(requirement(&mut tokens)?);
        match tokens.next() {
            Token::End => return Ok(requirements),
            Token::Symbol(",") => {}
            token => return Err(token.instead_of("',' or 'end of string'", false)),
        }
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, SelectorError> {
    let negated = tokens.eat("!");
    let Token::Word(written) = tokens.peek() else {
        return Err(SelectorError::EmptyKey);
    };
    tokens.next();
    let key = key(written)?;
    let operator = match tokens.peek() {
        _ if negated => Operator::DoesNotExist,
        Token::End | Token::Symbol(",") => Operator::Exists,
        token => {
            tokens.next();
            match token {
                Token::Word("in") => Operator::In(values(tokens)?.into()),
                Token::Word("notin") => Operator::NotIn(values(tokens)?.into()),
                Token::Symbol("=" | "==") => Operator::In(vec![value(tokens)?].into()),
                Token::Symbol("!=") => Operator::NotIn(vec![value(tokens)?].into()),
                Token::Symbol(">") => Operator::GreaterThan(integer(tokens)?),
                Token::Symbol("<") => Operator::LessThan(integer(tokens)?),
                _ => return Err(token.instead_of("in, notin, =, ==, !=, gt, lt", true)),
            }
        }
    };
    Ok(Requirement { key, operator })
}

/// Kubernetes has no sources, so a key is checked in the form in which it passes there: source, dot,
/// name. That form counts for the limit of 63 characters too.
fn key(written: &str) -> Result<SelectorKey, SelectorError> {
    let (source, name) = written.split_once(':').unwrap_or(("any", written));
    let invalid = |problem| SelectorError::InvalidKey {
        key: written.to_owned(),
        problem,
    };
    check_qualified_name(&format!("{source}.{name}")).map_err(invalid)?;
    Ok(SelectorKey {
        source: (source != "any").then(|| source.to_owned()),
        name: name.to_owned(),
        cidr: (source == label::CIDR).then(|| label::cidr(name)).flatten(),
    })
}

/// One value, which may be missing.
fn value(tokens: &mut Tokens<'_>) -> Result<String, SelectorError> {
    match tokens.peek() {
        Token::End | Token::Symbol(",") => Ok(String::new()),
        Token::Word(value) => {
            tokens.next();
            checked_value(value)
        }
        token => Err(token.instead_of("identifier", true)),
    }
}

fn integer(tokens: &mut Tokens<'_>) -> Result<i64, SelectorError> {
    let value = value(tokens)?;
    value
        .parse()
        .map_err(|_| SelectorError::NotAnInteger { value })
}

/// Values in parentheses. A missing one is the empty value, so `()` holds that.
fn values(tokens: &mut Tokens<'_>) -> Result<Vec<String>, SelectorError> {
    if !tokens.eat("(") {
        return Err(tokens.peek().instead_of("'('", true));
    }
    let mut values = Vec::new();
    loop {
        values.push(match tokens.peek() {
            Token::Word(value) => {
                tokens.next();
                checked_value(value)?
            }
            _ => String::new(),
        });
        match tokens.next() {
            Token::Symbol(",") => {}
            Token::Symbol(")") => return Ok(values),
            token => return Err(token.instead_of("',' or ')'", true)),
        }
    }
}

fn checked_value(value: &str) -> Result<String, SelectorError> {
    match check_value(value) {
        Ok(()) => Ok(value.to_owned()),
        Err(problem) => Err(SelectorError::InvalidValue {
            value: value.to_owned(),
            problem,
        }),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Token<'a> {
    End,
    Symbol(&'a str),
    Word(&'a str),
}

impl Token<'_> {
    fn instead_of(self, expected: &'static str, in_requirement: bool) -> SelectorError {
        let (Token::Symbol(found) | Token::Word(found)) = self else {
            return SelectorError::Unexpected {
                found: String::new(),
                expected,
                in_requirement,
            };
        };
        SelectorError::Unexpected {
            found: found.to_owned(),
            expected,
            in_requirement,
        }
    }
}

/// What is left of a selector.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Token<'a> {
        let text = self.rest.trim_start_matches(is_space);
        let length = match text.bytes().next() {
            None => 0,
            Some(b'=' | b'!') if text[1..].starts_with('=') => 2,
            Some(first) if is_symbol(char::from(first)) => 1,
            Some(_) => {
                let end = text.find(|next| is_space(next) || is_symbol(next));
                let (word, rest) = text.split_at(end.unwrap_or(text.len()));
                self.rest = rest;
                return Token::Word(word);
            }
        };
        let (symbol, rest) = text.split_at(length);
        self.rest = rest;
        if symbol.is_empty() {
            Token::End
        } else {
            Token::Symbol(symbol)
        }
    }

    fn peek(self) -> Token<'a> {
        let mut ahead = self;
        ahead.next()
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.peek() == Token::Symbol(symbol);
        if found {
            self.next();
        }
        found
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_symbol(character: char) -> bool {
    matches!(character, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(values: &[&str]) -> OneOf<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn each_operator_is_read() {
        let in_values = |values| Operator::In(strings(values));
        let not_in = |values| Operator::NotIn(strings(values));
        for (selector, expected) in [
            ("app", Operator::Exists),
            (" app ", Operator::Exists),
            ("!app", Operator::DoesNotExist),
            ("! app", Operator::DoesNotExist),
            ("app=web", in_values(&["web"])),
            ("app == web", in_values(&["web"])),
            ("app=", in_values(&[""])),
            ("app=in", in_values(&["in"])),
            ("app!=web", not_in(&["web"])),
            ("app in (a, b)", in_values(&["a", "b"])),
            ("app in(a)", in_values(&["a"])),
            ("app in ()", in_values(&[""])),
            ("app in (,)", in_values(&["", ""])),
            ("app in (a,)", in_values(&["a", ""])),
            ("app notin (a)", not_in(&["a"])),
            ("app>5", Operator::GreaterThan(5)),
            ("app < 5", Operator::LessThan(5)),
        ] {
            let [requirement] = parse(selector).unwrap().try_into().unwrap();
            assert_eq!(requirement.key.name, "app", "{selector}");
            assert_eq!(requirement.operator, expected, "{selector}");
        }
    }

    #[test]
    fn the_first_colon_of_a_key_ends_its_source() {
        for (selector, source, name) in [
            ("app", None, "app"),
            ("any:app", None, "app"),
            ("k8s:app", Some("k8s"), "app"),
            ("k8s:example.com/app", Some("k8s"), "example.com/app"),
            ("cidr:10.0.0.0/8", Some("cidr"), "10.0.0.0/8"),
            ("in", None, "in"),
        ] {
            let [requirement] = parse(selector).unwrap().try_into().unwrap();
            assert_eq!(requirement.key.source.as_deref(), source, "{selector}");
            assert_eq!(requirement.key.name, name, "{selector}");
        }
    }

    #[test]
    fn requirements_are_separated_by_commas() {
        assert_eq!(parse("").unwrap().len(), 0);
        assert_eq!(parse("a, b in (x,y), !c, d=").unwrap().len(), 4);
    }

    #[test]
    fn what_is_not_a_selector_is_explained() {
        for (selector, expected) in [
            ("a in ()x", "found 'x', expected: ',' or 'end of string'"),
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("!a=b", "found '=', expected: ',' or 'end of string'"),
            (
                "a in (b",
                "unable to parse requirement: found '', expected: ',' or ')'",
            ),
            (
                "a in (b c)",
                "unable to parse requirement: found 'c', expected: ',' or ')'",
            ),
            (
                "bad key!!",
                "unable to parse requirement: found 'key', expected: in, notin, =, ==, !=, gt, lt",
            ),
            (
                "a in b",
                "unable to parse requirement: found 'b', expected: '('",
            ),
            (
                "a==!b",
                "unable to parse requirement: found '!', expected: identifier",
            ),
            (" ", "unable to parse requirement: the key is missing"),
            (",", "unable to parse requirement: the key is missing"),
            ("a,,b", "unable to parse requirement: the key is missing"),
            ("a,", "unable to parse requirement: the key is missing"),
            ("(x)", "unable to parse requirement: the key is missing"),
            ("!!a", "unable to parse requirement: the key is missing"),
            (
                "a>b",
                "unable to parse requirement: invalid value \"b\": must be an integer",
            ),
        ] {
            assert_eq!(
                parse(selector).unwrap_err().to_string(),
                expected,
                "{selector}"
            );
        }
    }

    #[test]
    fn keys_and_values_are_checked_as_kubernetes_does() {
        let long = "a".repeat(59);
        // `any.` and 59 letters are the 63 that a name may have.
        assert!(parse(&long).is_ok());
        assert!(parse(&format!("{long}a")).is_err());
        assert!(parse(&format!("{}/{long}", "a".repeat(249))).is_ok());
        assert!(parse(&format!("{}/{long}", "a".repeat(250))).is_err());
        assert!(parse(&format!("a={}", "b".repeat(63))).is_ok());
        assert!(parse(&format!("a={}", "b".repeat(64))).is_err());
        for selector in [
            "a~b",
            "k8s:a:b",
            ":a",
            "k8s:",
            "a/",
            "/a",
            "a/b/c",
            "A.b/c",
            "a_b/c",
            "a..b/c",
            "-/a",
            "a-",
            "a=-b",
            "a=b:c",
            "a=b/c",
            "a in (b-)",
            "$host",
            "ä",
            "a=ä",
        ] {
            assert!(parse(selector).is_err(), "{selector}");
        }
        for selector in ["A_b.c", "a/B_c", "a=B_c.d-e", "a=5", "0"] {
            assert!(parse(selector).is_ok(), "{selector}");
        }
    }

    proptest! {
        #[test]
        fn no_selector_panics(selector in r"[ab:/,()=!<> \tinotä.-]{0,20}") {
            drop(parse(&selector));
        }
    }
}

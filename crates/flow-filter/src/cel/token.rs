//! The words of an expression. In: its text. Out: tokens, each with its place.

use super::literal;
use super::report::Mistakes;
use super::syntax::Literal;
use super::words;

/// Longest first, so that a symbol is not taken for the beginning of a longer one.
const SYMBOLS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", "in",
];

/// Words that other languages of the family use, and that are kept free.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'e> {
    End,
    Ident(&'e str),
    Literal(Literal),
    Symbol(&'static str),
}

/// A token and where it stands, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Placed<'e> {
    pub(super) token: Token<'e>,
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The tokens of an expression; the last one is [`Token::End`].
pub(super) fn tokens<'e>(expression: &'e str, mistakes: &mut Mistakes) -> Vec<Placed<'e>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    loop {
        start += space(&expression[start..]);
        let rest = &expression[start..];
        if rest.is_empty() {
            tokens.push(Placed {
                token: Token::End,
                start,
                end: start,
            });
            return tokens;
        }
        let length = match token(rest) {
            Ok((token, length)) => {
                let end = start + length;
                tokens.push(Placed { token, start, end });
                length
            }
            Err(Unreadable { length, problem }) => {
                let plain = words::unreadable(&rest[..length.min(rest.len())], &problem);
                mistakes.add_in_words(start, format!("Syntax error: {problem}"), plain);
                length
            }
        };
        start += length;
    }
}

/// What stands at the start of a text and is no token.
pub(super) struct Unreadable {
    /// How much of the text it is.
    pub(super) length: usize,
    pub(super) problem: String,
}

impl Unreadable {
    /// The first `length` bytes mean nothing.
    pub(super) fn unknown(text: &str, length: usize) -> Self {
        let shown = text.get(..length).unwrap_or(text);
        Self {
            length,
            problem: format!("token recognition error at: '{shown}'"),
        }
    }
}

fn token(rest: &str) -> Result<(Token<'_>, usize), Unreadable> {
    if let Some(number) = literal::number(rest) {
        let (literal, length) = number?;
        return Ok((Token::Literal(literal), length));
    }
    if let Some(text) = literal::quoted(rest) {
        let (literal, length) = text?;
        return Ok((Token::Literal(literal), length));
    }
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = rest.bytes().take_while(is_word).count();
    if length > 0 {
        let word = &rest[..length];
        let token = match word {
            "false" => Token::Literal(Literal::Bool(false)),
            "in" => Token::Symbol("in"),
            "null" => Token::Literal(Literal::Null),
            "true" => Token::Literal(Literal::Bool(true)),
            _ => Token::Ident(word),
        };
        return Ok((token, length));
    }
    match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        Some(symbol) => Ok((Token::Symbol(symbol), symbol.len())),
        None => {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            Err(Unreadable::unknown(rest, length))
        }
    }
}

/// How many bytes of white space and comments a text begins with.
fn space(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}']);
        if !rest.starts_with("//") {
            return text.len() - rest.len();
        }
        rest = rest.find('\n').map_or("", |end| &rest[end..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sort_of_token_is_read() {
        let mut mistakes = Mistakes::default();
        let tokens: Vec<_> = tokens("a.b_1 in[0x1fu] // x\n&& !true", &mut mistakes)
            .into_iter()
            .map(|placed| (placed.token, placed.start))
            .collect();
        assert_eq!(
            tokens,
            [
                (Token::Ident("a"), 0),
                (Token::Symbol("."), 1),
                (Token::Ident("b_1"), 2),
                (Token::Symbol("in"), 6),
                (Token::Symbol("["), 8),
                (Token::Literal(Literal::Uint(31)), 9),
                (Token::Symbol("]"), 14),
                (Token::Symbol("&&"), 21),
                (Token::Symbol("!"), 24),
                (Token::Literal(Literal::Bool(true)), 25),
                (Token::End, 29),
            ]
        );
        assert!(mistakes.report("").is_ok());
    }

    #[test]
    fn what_is_no_token_is_reported_and_passed_over() {
        let mut mistakes = Mistakes::default();
        assert_eq!(tokens("é@1", &mut mistakes).len(), 2);
        let report = mistakes.report("é@1").unwrap_err().to_string();
        assert!(
            report.contains("1:2: Syntax error: token recognition error at: '@'"),
            "{report}"
        );
    }
}

//! The grammar of CEL. In: an expression. Out: its parts, or the first mistake in its syntax.
//!
//! ```text
//! expression = or [ "?" or ":" expression ]
//! or         = and { "||" and }                  and    = relation { "&&" relation }
//! relation   = sum { ( "<" | "==" | "in" | .. ) sum }   sum, product alike
//! unary      = { "!" } member | { "-" } member
//! member     = primary { "." name [ "(" .. ")" ] | "[" expression "]" }
//! primary    = literal | name [ "(" .. ")" ] | "(" expression ")" | list | map | message
//! ```

mod operators;

use super::macros;
use super::report::{Mistakes, Report};
use super::schema::VARIABLE;
use super::syntax::{Expr, ExprKind, FieldInit, Literal};
use super::token::{Placed, Token, is_reserved, tokens};
use super::words;

/// How many levels an expression may have. All that goes through it calls itself once per level,
/// and up to ten functions a level here.
pub(super) const MOST_LEVELS: usize = 100;

/// What may stand where an operand is missing.
pub(super) const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, \
                       NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Reads an expression.
pub(super) fn parse(expression: &str) -> Result<Expr, Report> {
    read(expression, false)
}

/// The same where `has` may ask for a field of the flow by its name alone.
pub(super) fn parse_bare(expression: &str) -> Result<Expr, Report> {
    read(expression, true)
}

fn read(expression: &str, bare: bool) -> Result<Expr, Report> {
    let mut mistakes = Mistakes::default();
    let tokens = tokens(expression, &mut mistakes);
    let mut parser = Parser {
        expression,
        tokens,
        next: 0,
        level: 0,
        bare,
        mistakes,
    };
    let parsed = parser.whole();
    parser.mistakes.report(expression)?;
    parsed.map_err(|Refused| Report::default())
}

/// A mistake was found and noted; nothing can be read after it.
#[derive(Debug)]
pub(super) struct Refused;

type Parsed<T = Expr> = Result<T, Refused>;

pub(super) struct Parser<'e> {
    expression: &'e str,
    /// The last one is the end, and is never passed.
    tokens: Vec<Placed<'e>>,
    next: usize,
    level: usize,
    bare: bool,
    mistakes: Mistakes,
}

impl<'e> Parser<'e> {
    fn whole(&mut self) -> Parsed {
        let expression = self.expression()?;
        match self.peek() {
            Token::End => Ok(expression),
            _ => Err(self.unexpected("<EOF>")),
        }
    }

    fn expression(&mut self) -> Parsed {
        self.level += 1;
        if self.level > MOST_LEVELS {
            return Err(self.refuse(self.place(), too_deep()));
        }
        let condition = self.or()?;
        let place = self.place();
        let expression = if self.eat("?") {
            let when_true = self.or()?;
            self.expect(":")?;
            let when_false = self.expression()?;
            self.call(place, "_?_:_", vec![condition, when_true, when_false])?
        } else {
            condition
        };
        self.level -= 1;
        Ok(expression)
    }

    fn primary_and_members(&mut self) -> Parsed {
        let primary = self.primary()?;
        self.member(primary)
    }

    /// What may follow an operand: fields, methods, indexes, and the fields of a message.
    fn member(&mut self, mut operand: Expr) -> Parsed {
        loop {
            let place = self.place();
            if self.eat(".") {
                let field = self.name()?.to_owned();
                let open = self.place();
                if self.eat("(") {
                    let arguments = self.list(")")?;
                    operand = self.method(open, operand, field, arguments)?;
                } else {
                    let operand_of = Box::new(operand);
                    operand = self.node(
                        place,
                        ExprKind::Select {
                            operand: operand_of,
                            field,
                        },
                    )?;
                }
            } else if self.eat("[") {
                let index = self.expression()?;
                self.expect("]")?;
                operand = self.call(place, "_[_]", vec![operand, index])?;
            } else if *self.peek() == Token::Symbol("{")
                && let Some(name) = macros::qualified_name(&operand)
            {
                self.next += 1;
                let fields = self.fields()?;
                operand = self.node(place, ExprKind::Message { name, fields })?;
            } else {
                return Ok(operand);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let place = self.place();
        if let Token::Literal(literal) = self.peek() {
            if *literal == Literal::Int(i64::MIN) {
                return Err(self.refuse(place, "Syntax error: invalid int literal"));
            }
            let literal = literal.clone();
            self.next += 1;
            return Ok(leaf(place, ExprKind::Literal(literal)));
        }
        if self.eat("(") {
            let expression = self.expression()?;
            self.expect(")")?;
            return Ok(expression);
        }
        if self.eat("[") {
            let elements = self.list("]")?;
            return self.node(place, ExprKind::List(elements));
        }
        if self.eat("{") {
            let entries = self.entries()?;
            return self.node(place, ExprKind::Map(entries));
        }
        let dot = if self.eat(".") { "." } else { "" };
        let Token::Ident(name) = *self.peek() else {
            return Err(self.unexpected(OPERAND));
        };
        let place = self.place();
        self.next += 1;
        if is_reserved(name) {
            return Err(self.refuse(place, format!("reserved identifier: {name}")));
        }
        let name = format!("{dot}{name}");
        let open = self.place();
        if self.eat("(") {
            let arguments = self.list(")")?;
            return self.function(open, name, arguments);
        }
        Ok(leaf(place, ExprKind::Ident(name)))
    }

    fn function(&mut self, place: usize, function: String, mut arguments: Vec<Expr>) -> Parsed {
        if self.bare
            && function == "has"
            && let [argument] = arguments.as_mut_slice()
            && let ExprKind::Ident(name) = &argument.kind
        {
            let field = name.clone();
            let operand = leaf(argument.place, ExprKind::Ident(VARIABLE.to_owned()));
            let operand = Box::new(operand);
            *argument = Expr::new(argument.place, ExprKind::Select { operand, field });
        }
        match macros::function(function, arguments) {
            Ok(kind) => self.node(place, kind),
            Err(mistake) => Err(self.refuse(mistake.place.unwrap_or(place), mistake.problem)),
        }
    }

    fn method(
        &mut self,
        place: usize,
        target: Expr,
        function: String,
        arguments: Vec<Expr>,
    ) -> Parsed {
        match macros::method(target, function, arguments) {
            Ok(kind) => self.node(place, kind),
            Err(mistake) => Err(self.refuse(mistake.place.unwrap_or(place), mistake.problem)),
        }
    }

    /// Expressions between commas, up to and with the closing bracket. A list may end in a comma,
    /// arguments may not.
    fn list(&mut self, close: &'static str) -> Parsed<Vec<Expr>> {
        let mut elements = Vec::new();
        if self.eat(close) {
            return Ok(elements);
        }
        loop {
            elements.push(self.expression()?);
            if self.ends(close, close == "]")? {
                return Ok(elements);
            }
        }
    }

    fn entries(&mut self) -> Parsed<Vec<(Expr, Expr)>> {
        let mut entries = Vec::new();
        if self.eat("}") {
            return Ok(entries);
        }
        loop {
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
            if self.ends("}", true)? {
                return Ok(entries);
            }
        }
    }

    fn fields(&mut self) -> Parsed<Vec<FieldInit>> {
        let mut fields = Vec::new();
        if self.eat("}") {
            return Ok(fields);
        }
        loop {
            let name = self.name()?.to_owned();
            let place = self.place();
            self.expect(":")?;
            let value = self.expression()?;
            fields.push(FieldInit { place, name, value });
            if self.ends("}", true)? {
                return Ok(fields);
            }
        }
    }

    /// Whether the bracket closes here; otherwise a comma was passed.
    fn ends(&mut self, close: &'static str, after_comma: bool) -> Parsed<bool> {
        if self.eat(close) {
            return Ok(true);
        }
        if !self.eat(",") {
            return Err(self.unexpected(&format!("{{'{close}', ','}}")));
        }
        Ok(after_comma && self.eat(close))
    }

    fn name(&mut self) -> Parsed<&'e str> {
        let Token::Ident(name) = *self.peek() else {
            return Err(self.unexpected("IDENTIFIER"));
        };
        self.next += 1;
        Ok(name)
    }

    fn call(&mut self, place: usize, function: &str, arguments: Vec<Expr>) -> Parsed {
        self.node(
            place,
            ExprKind::Call {
                function: function.to_owned(),
                target: None,
                arguments,
            },
        )
    }

    fn node(&mut self, place: usize, kind: ExprKind) -> Parsed {
        let depth = kind.depth();
        if depth > MOST_LEVELS {
            return Err(self.refuse(place, too_deep()));
        }
        Ok(Expr { place, depth, kind })
    }

    fn current(&self) -> &Placed<'e> {
        // The end is never passed, so the index is always good.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Token<'e> {
        &self.current().token
    }

    fn place(&self) -> usize {
        self.current().start
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(next) if *next == symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &'static str) -> Parsed<()> {
        if self.eat(symbol) {
            return Ok(());
        }
        Err(self.unexpected(&format!("'{symbol}'")))
    }

    fn unexpected(&mut self, expected: &str) -> Refused {
        let Placed { token, start, end } = self.current();
        let found = match token {
            Token::End => "<EOF>",
            _ => &self.expression[*start..*end],
        };
        let problem = format!("Syntax error: mismatched input '{found}' expecting {expected}");
        let plain = words::unexpected(found, expected);
        self.mistakes.add_in_words(*start, problem, plain);
        Refused
    }

    fn refuse(&mut self, place: usize, problem: impl Into<String>) -> Refused {
        self.mistakes.add(place, problem);
        Refused
    }
}

fn too_deep() -> String {
    format!("expression recursion limit exceeded: {MOST_LEVELS}")
}

fn leaf(place: usize, kind: ExprKind) -> Expr {
    Expr {
        place,
        depth: 1,
        kind,
    }
}

#[cfg(test)]
mod tests;

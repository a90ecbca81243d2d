//! Operators and what they bind.

use super::{Parsed, Parser, Refused, leaf};
use crate::cel::syntax::{Expr, ExprKind, Literal};
use crate::cel::token::Token;

/// Operators between two operands, by how tightly they bind.
const BINARY: [&[(&str, &str)]; 3] = [
    &[
        ("<=", "_<=_"),
        (">=", "_>=_"),
        ("<", "_<_"),
        (">", "_>_"),
        ("==", "_==_"),
        ("!=", "_!=_"),
        ("in", "@in"),
    ],
    &[("+", "_+_"), ("-", "_-_")],
    &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
];

impl Parser<'_> {
    pub(super) fn or(&mut self) -> Parsed {
        self.chain("||", "_||_", Self::and)
    }

    fn and(&mut self) -> Parsed {
        self.chain("&&", "_&&_", |parser| parser.binary(0))
    }

    /// Operands of an operator that may be regrouped, so that long chains do not become deep.
    fn chain(
        &mut self,
        symbol: &'static str,
        function: &str,
        operand: impl Fn(&mut Self) -> Parsed,
    ) -> Parsed {
        let mut operands = vec![operand(self)?];
        let mut places = Vec::new();
        loop {
            let place = self.place();
            if !self.eat(symbol) {
                return self.balance(function, &mut operands.into_iter(), &places);
            }
            places.push(place);
            operands.push(operand(self)?);
        }
    }

    fn balance(
        &mut self,
        function: &str,
        operands: &mut std::vec::IntoIter<Expr>,
        places: &[usize],
    ) -> Parsed {
        let middle = places.len() / 2;
        let Some((left, [place, right @ ..])) = places.split_at_checked(middle) else {
            return operands.next().ok_or(Refused);
        };
        let left = self.balance(function, operands, left)?;
        let right = self.balance(function, operands, right)?;
        self.call(*place, function, vec![left, right])
    }

    fn binary(&mut self, tightness: usize) -> Parsed {
        let Some(operators) = BINARY.get(tightness) else {
            return self.unary();
        };
        let mut left = self.binary(tightness + 1)?;
        'operators: loop {
            let place = self.place();
            for (symbol, function) in *operators {
                if self.eat(symbol) {
                    let right = self.binary(tightness + 1)?;
                    left = self.call(place, function, vec![left, right])?;
                    continue 'operators;
                }
            }
            return Ok(left);
        }
    }

    fn unary(&mut self) -> Parsed {
        for (symbol, function) in [("!", "!_"), ("-", "-_")] {
            let place = self.place();
            let mut count = 0;
            while self.eat(symbol) {
                count += 1;
            }
            if count == 0 {
                continue;
            }
            let operand = match self.number_after_sign(symbol) {
                Some(literal) => {
                    count -= 1;
                    self.member(literal)?
                }
                None => self.primary_and_members()?,
            };
            // Two of a kind take each other back.
            return if count % 2 == 1 {
                self.call(place, function, vec![operand])
            } else {
                Ok(operand)
            };
        }
        self.primary_and_members()
    }

    /// A number takes the minus before it, which the smallest integer needs.
    fn number_after_sign(&mut self, symbol: &str) -> Option<Expr> {
        if symbol != "-" {
            return None;
        }
        let negative = match self.peek() {
            Token::Literal(Literal::Int(number)) => Literal::Int(number.wrapping_neg()),
            Token::Literal(Literal::Double(number)) => Literal::Double(-number),
            _ => return None,
        };
        let place = self.tokens.get(self.next.checked_sub(1)?)?.start;
        self.next += 1;
        Some(leaf(place, ExprKind::Literal(negative)))
    }
}

//! Filtering by expressions of the Common Expression Language, as in
//! `_flow.verdict == Verdict.DROPPED && _flow.l4.TCP.destination_port < 1024u`.
//!
//! In: an expression about `_flow`, a `flow.Flow`. Out: an [`Expression`] that says yes or no to any
//! flow, or the [`ExpressionError`] that Hubble would answer with.
//!
//! ```text
//! text ── token, literal ──► parse, macros ──► syntax
//!                                                │  check: overloads, types, unify, schema
//!                                                ▼
//! flow ── Subject ──► evaluate, functions ◄── program
//! ```
//!
//! [`Where`] reads what people write, and spells it as such an expression.
//!
//! Expressions come from clients. All that one can cost is bounded: its length and depth, the types
//! it can have, and the steps that it may take for one flow.

mod build;
mod calendar;
mod check;
mod compare;
mod convert;
mod error;
mod evaluate;
mod functions;
mod literal;
mod macros;
mod overloads;
mod parse;
mod plain;
mod program;
mod report;
mod schema;
mod search;
mod spell;
mod subject;
mod syntax;
mod time;
mod token;
mod types;
mod unify;
mod value;
mod words;

use prost_reflect::MessageDescriptor;

pub use error::{ExpressionError, Report};
pub use plain::{FieldPath, Where, WhereError};
pub(crate) use subject::{Failures, Subject};

use crate::regexp_set::Budget;
use program::Node;
use schema::Schema;
use types::Type;

/// How many characters of an expression are read. Ten pages of text are enough for a filter.
const MOST_CHARACTERS: usize = 16_384;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    program: Node,
    flow: MessageDescriptor,
}

impl Expression {
    /// The regular expressions in it are paid for from the budget.
    pub(crate) fn compile(text: &str, budget: &mut Budget) -> Result<Self, ExpressionError> {
        let size = text.chars().count();
        if size > MOST_CHARACTERS {
            return Err(ExpressionError::TooLong {
                size,
                limit: MOST_CHARACTERS,
            });
        }
        let schema = Schema::get().ok_or(ExpressionError::NoDeclarations)?;
        let flow = schema.flow().ok_or(ExpressionError::NoDeclarations)?;
        let syntax = parse::parse(text).map_err(ExpressionError::Mistakes)?;
        let checked =
            check::check(schema, text, &syntax, budget).map_err(ExpressionError::Mistakes)?;
        if checked.of != Type::Bool {
            return Err(ExpressionError::NotBool {
                found: checked.of.full_name(),
            });
        }
        if let Some(error) = checked.bad_regexp {
            return Err(ExpressionError::InvalidRegexp(error));
        }
        Ok(Self {
            program: checked.node,
            flow,
        })
    }
}

#[cfg(test)]
mod tests;

//! Expressions as people write them: `verdict == "DROPPED" && source.namespace == "shop"`.
//!
//! In: such a text. Out: a [`Where`], which has the same as an expression that every server of Hubble
//! understands, or the mistakes in it in plain words.
//!
//! ```text
//! text ── parse ──► syntax ── rewrite ──► syntax ── check ──► spell ──► _flow.verdict == Verdict.DROPPED
//!                               ▲  names, sort: what is meant by `source.ip` and `"dropped"`
//!                               └─ range, glob: what the language itself cannot say
//! ```

mod glob;
mod names;
mod outline;
mod path;
mod range;
mod reads;
mod rewrite;
mod sort;

use std::fmt;

use super::error::ExpressionError;
use super::schema::Schema;
use super::spell::spelled;
use super::syntax::Expr;
use super::types::Type;
use super::{Expression, MOST_CHARACTERS, check, parse};
use crate::outline::Outline;
use crate::regexp_set::Budget;
pub use path::FieldPath;
use rewrite::Notes;

/// A condition on flows, read from text.
///
/// ```
/// use flow_filter::Where;
///
/// let dropped = Where::parse("verdict == dropped && destination.port in [80, 443]")?;
/// assert!(dropped.expression().starts_with("_flow.verdict == Verdict.DROPPED && "));
///
/// let mistake = Where::parse("verdit == dropped").unwrap_err().to_string();
/// assert!(mistake.starts_with("a flow has no field 'verdit', did you mean 'verdict'?"));
/// # Ok::<(), flow_filter::WhereError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Where {
    expr: Expr,
    notes: Notes,
    expression: String,
}

impl Where {
    /// Reads a condition.
    ///
    /// # Errors
    /// What it says makes no sense: all mistakes, each with its place.
    pub fn parse(text: &str) -> Result<Self, WhereError> {
        let told = |report: super::Report| WhereError(report.in_plain_words());
        let size = text.chars().count();
        if size > MOST_CHARACTERS {
            return Err(too_long(size));
        }
        let schema = Schema::get().ok_or_else(no_declarations)?;
        let written = parse::parse_bare(text).map_err(told)?;
        let (expr, notes) = rewrite::rewrite(schema, text, &written).map_err(told)?;
        let mut budget = Budget::default();
        let checked = check::check(schema, text, &expr, &mut budget).map_err(told)?;
        if !matches!(checked.of, Type::Bool | Type::Dyn) {
            return Err(WhereError(format!(
                "it is {} and no condition, compare it with something\n  {text}",
                checked.of.words()
            )));
        }
        if let Some(error) = checked.bad_regexp {
            return Err(WhereError(error.to_string()));
        }
        let expression = spelled(&expr);
        // As a server will read it.
        match Expression::compile(&expression, &mut Budget::default()) {
            Ok(_) => Ok(Self {
                expr,
                notes,
                expression,
            }),
            Err(ExpressionError::TooLong { size, .. }) => Err(too_long(size)),
            Err(error) => Err(WhereError(error.to_string())),
        }
    }

    /// The condition as a server of Hubble takes it, in `cel_expression`.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The fields that it reads, as paths of a field mask; `None` if it looks at the flow as a whole.
    #[must_use]
    pub fn reads(&self) -> Option<Vec<String>> {
        reads::reads(&self.expr)
    }

    /// The condition as a tree, in words.
    #[must_use]
    pub fn outline(&self) -> Outline {
        outline::outline(&self.expr, &self.notes)
    }
}

/// Why a text is no condition: what is wrong, and the line with a mark under the place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WhereError(String);

impl fmt::Display for WhereError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for WhereError {}

fn too_long(size: usize) -> WhereError {
    WhereError(format!(
        "it has {size} letters when names are written in full, and more than {MOST_CHARACTERS} are \
         not read"
    ))
}

fn no_declarations() -> WhereError {
    WhereError(ExpressionError::NoDeclarations.to_string())
}

#[cfg(test)]
mod tests;

//! Searches by regular expression, and what they take. An expression that a client sends may be
//! one that the engine can only follow in thousands of states at once.

use super::error::EvaluationError;
use super::evaluate::Evaluation;
use crate::error::RegexpError;
use crate::regexp::{COMPILED_SIZE_LIMIT, Regexp, STATES_LIMIT};
use crate::regexp_set::Budget;

/// What a small expression takes in memory, in bytes. Names, paths and addresses need less.
const SMALL_BYTES: usize = 64 << 10;

/// How many that are larger a CEL expression may hold; each takes up to some megabytes.
const MOST_LARGE: usize = 4;

/// Steps for each byte that is searched, by a small expression and by another.
const STEPS_OF_BYTE: usize = 4;
const STEPS_OF_BYTE_IF_LARGE: usize = 64;

/// Steps for making an expression during an evaluation, where it must be a small one.
const STEPS_OF_MAKING: usize = 5_000;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct Search {
    regexp: Regexp,
    steps_of_byte: usize,
}

impl Search {
    /// Compiles an expression that is written out. Counts those that are not small.
    pub(super) fn compile(
        pattern: &str,
        large: &mut usize,
        budget: &mut Budget,
    ) -> Result<Self, RegexpError> {
        budget.take(SMALL_BYTES + STATES_LIMIT)?;
        match Self::compile_small(pattern) {
            Err(RegexpError::TooBig { .. }) if *large < MOST_LARGE => {
                budget.take(COMPILED_SIZE_LIMIT)?;
                *large += 1;
                Ok(Self {
                    regexp: Regexp::compile(pattern)?,
                    steps_of_byte: STEPS_OF_BYTE_IF_LARGE,
                })
            }
            other => other,
        }
    }

    /// Compiles an expression that is only known now.
    pub(super) fn compile_now(
        evaluation: &mut Evaluation<'_>,
        pattern: &str,
    ) -> Result<Self, EvaluationError> {
        evaluation.take(STEPS_OF_MAKING)?;
        Self::compile_small(pattern).map_err(EvaluationError::InvalidRegexp)
    }

    fn compile_small(pattern: &str) -> Result<Self, RegexpError> {
        Ok(Self {
            regexp: Regexp::compile_within(pattern, SMALL_BYTES)?,
            steps_of_byte: STEPS_OF_BYTE,
        })
    }

    pub(super) fn finds(
        &self,
        evaluation: &mut Evaluation<'_>,
        text: &str,
    ) -> Result<bool, EvaluationError> {
        evaluation.take(text.len().saturating_mul(self.steps_of_byte))?;
        Ok(self.regexp.finds(text.as_bytes()))
    }
}

//! Why an expression is refused, and why one has no value for a flow.

pub use super::report::Report;
use crate::error::RegexpError;

/// Why a text is no expression to filter by.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// A regular expression in it is none.
    #[error("error building CEL program: {0}")]
    InvalidRegexp(RegexpError),
    /// It cannot be read, or makes no sense.
    #[error("error compiling CEL expression: {0}")]
    Mistakes(Report),
    /// The contract's declarations cannot be read; a fault of how the program was built.
    #[error("error compiling CEL expression: the declarations of the flow cannot be read")]
    NoDeclarations,
    /// It says something else than yes or no.
    #[error("error compiling CEL expression: got \"{found}\", wanted \"bool\" result type")]
    NotBool {
        /// The type it has.
        found: String,
    },
    /// It is longer than what is read.
    #[error(
        "error compiling CEL expression: expression code point size exceeds limit: size: {size}, \
         limit {limit}"
    )]
    TooLong {
        /// How long it is, in characters.
        size: usize,
        /// How long it may be.
        limit: usize,
    },
}

/// Why an expression has no value for a flow. The flow does not match then.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum EvaluationError {
    #[error("division by zero")]
    DivisionByZero,
    #[error("duration overflow")]
    DurationOverflow,
    #[error("index out of bounds: {index}")]
    IndexOutOfBounds { index: i64 },
    #[error("integer overflow")]
    IntOverflow,
    #[error("{0}")]
    InvalidRegexp(RegexpError),
    #[error("type conversion error from '{from}' to '{to}'")]
    InvalidConversion { from: String, to: &'static str },
    #[error("modulus by zero")]
    ModulusByZero,
    #[error("no such field '{name}'")]
    NoSuchField { name: String },
    #[error("no such key: {key}")]
    NoSuchKey { key: String },
    /// A value that was not known to have the wrong type.
    #[error("no such overload")]
    NoSuchOverload,
    /// All expressions take more than a filter may do for one flow.
    #[error("the expressions of the filter take more than {limit} steps")]
    NoStepsLeft { limit: u32 },
    #[error("timestamp overflow")]
    TimestampOverflow,
    /// It takes more than an expression may do for one flow.
    #[error("the expression takes more than {limit} steps")]
    TooManySteps { limit: u32 },
    #[error("unsigned integer overflow")]
    UintOverflow,
    #[error("unknown message type '{name}'")]
    UnknownMessage { name: String },
    #[error("unknown time zone {zone}")]
    UnknownTimeZone { zone: String },
}

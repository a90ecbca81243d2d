//! Why a filter could not be compiled. The texts are Hubble's wherever clients may know them, down
//! to the names of Go's functions.

pub use crate::address::AddressError;
pub use crate::cel::{ExpressionError, Report};
pub use crate::prefix::PrefixError;
use crate::quote::{quoted, quoted_char};
use crate::view::Side;

/// Why a list of filters could not be compiled: the first entry that means nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// An HTTP field is set although the event types of the same filter leave HTTP out.
    #[error(
        "filtering by http {attribute} requires the event type filter to only match 'l7' events"
    )]
    HttpNeedsL7Events {
        /// What was to be filtered by, such as `status code`.
        attribute: &'static str,
    },
    /// A cluster name without letters.
    #[error(transparent)]
    InvalidClusterName(NameError),
    /// A DNS query that is no regular expression.
    #[error("invalid DNS query filter: failed to compile regexp: {reason}")]
    InvalidDnsQuery {
        /// What is wrong with it.
        reason: RegexpError,
    },
    /// A CEL expression that cannot be evaluated, or that is no question.
    #[error(transparent)]
    InvalidExpression(ExpressionError),
    /// An HTTP path that is no regular expression.
    #[error("invalid http path filter: {entry}: {reason}")]
    InvalidHttpPath {
        /// The expression.
        entry: String,
        /// What is wrong with it.
        reason: RegexpError,
    },
    /// An HTTP status code that is neither `404` nor like `4+` and `40+`.
    #[error("invalid http status code filter: invalid status code prefix: {}", quoted(.entry))]
    InvalidHttpStatusCode {
        /// The entry.
        entry: String,
    },
    /// An HTTP URL that is no regular expression.
    #[error("invalid http url filter: {entry}: {reason}")]
    InvalidHttpUrl {
        /// The expression.
        entry: String,
        /// What is wrong with it.
        reason: RegexpError,
    },
    /// An IP address that is none.
    #[error("invalid IP address {} in filter: {reason}", quoted(.entry))]
    InvalidIpAddress {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: AddressError,
    },
    /// An entry with a slash that is no prefix.
    #[error(
        "invalid IP prefix {} in filter: netip.ParsePrefix({}): {reason}",
        quoted(.entry),
        quoted(.entry)
    )]
    InvalidIpPrefix {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: PrefixError,
    },
    /// A source or destination label that is no selector.
    #[error("invalid {side} label filter: {reason}")]
    InvalidLabel {
        /// Whose label.
        side: Side,
        /// What is wrong with it.
        reason: SelectorError,
    },
    /// A domain or node name that is no pattern.
    #[error(transparent)]
    InvalidName(PatternError),
    /// A node label that is no selector.
    #[error("invalid node label filter: {reason}")]
    InvalidNodeLabel {
        /// What is wrong with it.
        reason: SelectorError,
    },
    /// A pod without a name.
    #[error(transparent)]
    InvalidPod(NameError),
    /// A port that is no number from 0 to 65535.
    #[error(
        "invalid {side} port filter: invalid port {}: strconv.ParseUint: parsing {}: {reason}",
        quoted(.entry),
        quoted(.entry)
    )]
    InvalidPort {
        /// Whose port.
        side: Side,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: PortError,
    },
    /// A service without a name.
    #[error("invalid {side} service filter: {reason}")]
    InvalidService {
        /// Whose service.
        side: Side,
        /// What is wrong with it.
        reason: NameError,
    },
    /// A protocol keyword that is not known.
    #[error("invalid protocol filter: unknown protocol: {}", quoted(.entry))]
    UnknownProtocol {
        /// The keyword as it was given.
        entry: String,
    },
}

impl FilterError {
    /// Whether each entry makes sense, and only all of them together are more than is compiled.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        let (Self::InvalidDnsQuery { reason }
        | Self::InvalidHttpPath { reason, .. }
        | Self::InvalidHttpUrl { reason, .. }
        | Self::InvalidExpression(ExpressionError::InvalidRegexp(reason))) = self
        else {
            return false;
        };
        matches!(reason, RegexpError::TooMany { .. })
    }
}

/// Why an entry does not name anything.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    #[error("invalid filter, name must not be empty")]
    Empty,
}

/// Why a text is no pattern for a domain or a node.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Nothing is left of it, or of its part for the cluster or the node.
    #[error("empty pattern")]
    Empty,
    /// It holds something that no name has, and that is not `*`.
    #[error("{}: invalid rune in pattern", quoted_char(*.character))]
    InvalidCharacter {
        /// The first such character.
        character: char,
    },
    /// It ends in more than one dot.
    #[error("multiple trailing dots in pattern")]
    TrailingDots,
    /// It has more parts than a cluster and a node.
    #[error("too many slashes in pattern")]
    TooManySlashes,
}

/// Why a text is no port.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// More than 65535.
    #[error("value out of range")]
    OutOfRange,
    /// Not made of digits only.
    #[error("invalid syntax")]
    Syntax,
}

/// Why a text is no regular expression.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegexpError {
    /// It is not RE2 syntax.
    #[error("error parsing regexp: {problem}")]
    Syntax {
        /// What is wrong with it.
        problem: String,
    },
    /// There is too much of it to read.
    #[error("error parsing regexp: it has {size} bytes, and more than {limit} are not read")]
    TooLong {
        /// How long it is.
        size: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Together with others of the same request it stands for too much.
    #[error(
        "error parsing regexp: those of the request take more than {limit} bytes, use fewer or \
         smaller ones"
    )]
    TooMany {
        /// What all expressions of a request may take.
        limit: usize,
    },
    /// It is short, but stands for too much, as `\pL{1000}` does.
    #[error("error parsing regexp: it takes more than {limit} bytes, use smaller repetitions")]
    TooBig {
        /// What one expression may take.
        limit: usize,
    },
}

/// Why a text is no label selector.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// A requirement without a key, as after a second comma.
    #[error("unable to parse requirement: the key is missing")]
    EmptyKey,
    /// A key that Kubernetes would not take.
    #[error("unable to parse requirement: invalid key {}: {problem}", quoted(.key))]
    InvalidKey {
        /// The key as it was given.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A value that Kubernetes would not take.
    #[error("unable to parse requirement: invalid value {}: {problem}", quoted(.value))]
    InvalidValue {
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `>` or `<` with something else than an integer.
    #[error("unable to parse requirement: invalid value {}: must be an integer", quoted(.value))]
    NotAnInteger {
        /// The value.
        value: String,
    },
    /// Something that cannot stand where it stands.
    #[error(
        "{}found '{found}', expected: {expected}",
        if *.in_requirement { "unable to parse requirement: " } else { "" }
    )]
    Unexpected {
        /// What stands there; empty for the end of the selector.
        found: String,
        /// What could.
        expected: &'static str,
        /// Whether the requirement was still going on.
        in_requirement: bool,
    },
}

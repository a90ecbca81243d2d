//! What a filter asks for, in words, and what it can never let through.
//!
//! In: `FlowFilter` messages and conditions of [`Where`](crate::Where). Out: a tree of [`Outline`]s to
//! print, and from [`contradictions`] the reasons why parts of it are never true.

mod contradictions;
mod filter;
mod values;

pub use contradictions::contradictions;
pub use filter::of_filter;
pub use values::Values;

/// A condition and what it is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outline {
    /// Each of them must hold.
    All(Vec<Outline>),
    /// One of them must hold.
    Any(Vec<Outline>),
    /// It must not hold.
    Not(Box<Outline>),
    /// One question about the flow.
    Test(Test),
}

/// One question about a flow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Test {
    /// What must be, as in `verdict is DROPPED`.
    pub words: String,
    /// The same as a limit for a field, if it is nothing else.
    pub limit: Option<Limit>,
    /// What also holds wherever it does: flags of TCP tell that the protocol is TCP.
    pub implies: Vec<Limit>,
}

/// Which values of a field are let through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// The field.
    pub subject: String,
    /// Its values.
    pub values: Values,
}

impl Limit {
    pub(crate) fn new(subject: impl Into<String>, values: Values) -> Self {
        Self {
            subject: subject.into(),
            values,
        }
    }

    /// Only this value.
    pub(crate) fn only(subject: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(subject, Values::only([value.into()]))
    }
}

impl Outline {
    /// All of these; the one if there is one.
    pub fn all(mut parts: Vec<Self>) -> Self {
        match parts.len() {
            1 => parts.remove(0),
            _ => Self::All(parts),
        }
    }

    /// Any of these; the one if there is one.
    pub fn any(mut parts: Vec<Self>) -> Self {
        match parts.len() {
            1 => parts.remove(0),
            _ => Self::Any(parts),
        }
    }

    /// A question about nothing but words.
    pub(crate) fn words(words: impl Into<String>) -> Self {
        Self::Test(Test {
            words: words.into(),
            ..Test::default()
        })
    }
}

/// What is known to limit the protocol above IP.
pub(crate) const LAYER_4: &str = "protocol above IP";

/// What is known to limit the application's protocol.
pub(crate) const LAYER_7: &str = "application protocol";

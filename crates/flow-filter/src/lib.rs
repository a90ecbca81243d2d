//! `FlowFilter` messages compiled once into a predicate over anything that can be viewed as a flow.
//!
//! In: the allow and the deny list of a request (`whitelist` and `blacklist` on the wire). Out: a
//! [`Filter`] whose [`matches`](Filter::matches) answers for any [`FlowView`], or the
//! [`FilterError`] that Hubble would answer with.
//!
//! A list is OR, the fields of one message are AND, the values of one field are OR. Deny wins, and
//! an empty allow list allows everything.
//!
//! ```
//! use flow_api::flow::{Flow, FlowFilter, Verdict};
//! use flow_filter::Filter;
//!
//! let dropped = FlowFilter { verdict: vec![Verdict::Dropped.into()], ..FlowFilter::default() };
//! let filter = Filter::compile(&[dropped], &[])?;
//!
//! let flow = Flow { verdict: Verdict::Dropped.into(), ..Flow::default() };
//! assert!(filter.matches(&flow));
//! assert!(!filter.matches(&Flow::default()));
//! # Ok::<(), flow_filter::FilterError>(())
//! ```

mod address;
mod cel;
mod condition;
mod error;
mod event_type;
mod http;
mod ip;
mod kubernetes_name;
mod label;
mod merge;
mod message;
mod name_set;
mod one_of;
pub mod outline;
mod pattern;
mod pod;
mod port;
mod prefix;
mod protocol;
mod quote;
mod re2;
mod regexp;
mod regexp_set;
mod rule;
mod selector;
mod selector_set;
mod url;
mod view;

use flow_api::flow::FlowFilter;

pub use cel::{FieldPath, Where, WhereError};
pub use error::{
    AddressError, ExpressionError, FilterError, NameError, PatternError, PortError, PrefixError,
    RegexpError, Report, SelectorError,
};
pub use quote::{quoted, quoted_char};
pub use view::{
    EndpointView, EventKind, EventType, FlowView, HttpView, InterfaceView, IpView, L4Protocol,
    L7Protocol, NoEndpoint, ServiceView, Side, TcpFlags, WorkloadView,
};

use cel::{Failures, Subject};
use merge::merged;
use regexp_set::Budget;
use rule::Rule;

/// The compiled lists of a request. The default lets everything through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    allow: Vec<Rule>,
    deny: Vec<Rule>,
    failures: Failures,
    regexp_bytes: usize,
}

impl Filter {
    /// Compiles the lists of a request, regular expressions, prefixes and selectors included.
    ///
    /// # Errors
    /// The first entry that means nothing, in Hubble's order: the messages of `allow` before those
    /// of `deny`, and within a message field by field.
    pub fn compile(allow: &[FlowFilter], deny: &[FlowFilter]) -> Result<Self, FilterError> {
        let mut budget = Budget::default();
        Ok(Self {
            allow: rules(allow, &mut budget)?,
            deny: rules(deny, &mut budget)?,
            failures: Failures::default(),
            regexp_bytes: budget.taken(),
        })
    }

    /// Logs each CEL expression that fails for an event. Otherwise only the first few are, since
    /// filters come from clients, and every event may make one fail.
    #[must_use]
    pub fn log_every_failure(mut self) -> Self {
        self.failures.log_all();
        self
    }

    /// Whether the event is wanted. Allocates nothing that the view does not, but for an HTTP path
    /// with percent escapes, and for CEL expressions.
    #[must_use]
    pub fn matches<V: FlowView>(&self, event: &V) -> bool {
        let subject = Subject::new(&self.failures);
        let matches = |rule: &Rule| rule.matches(event, &subject);
        (self.allow.is_empty() || self.allow.iter().any(matches)) && !self.deny.iter().any(matches)
    }

    /// The fields of a flow that the answer depends on, as paths such as `source.pod_name`, for those
    /// who read flows for this filter alone; `None` if it may be any field.
    #[must_use]
    pub fn fields(&self) -> Option<Vec<&'static str>> {
        let rules = self.allow.iter().chain(&self.deny);
        let fields = rules.map(Rule::fields).collect::<Option<Vec<_>>>()?;
        Some(fields.concat())
    }

    /// The bytes that its regular expressions may take: a short text may stand for much, so that
    /// whoever keeps the filters of many clients needs to count.
    #[must_use]
    pub fn regexp_bytes(&self) -> usize {
        self.regexp_bytes
    }

    /// Whether every event is wanted, whatever it is: nothing needs to be looked at.
    #[must_use]
    pub fn matches_everything(&self) -> bool {
        self.deny.is_empty()
            && (self.allow.is_empty() || self.allow.iter().any(Rule::matches_everything))
    }
}

/// The messages of a list, as few of them as mean the same.
fn rules(filters: &[FlowFilter], budget: &mut Budget) -> Result<Vec<Rule>, FilterError> {
    let compile = |filters: &[FlowFilter], budget: &mut Budget| -> Result<Vec<_>, _> {
        filters
            .iter()
            .map(|filter| Rule::compile(filter, budget))
            .collect()
    };
    let mut left = *budget;
    let rules = merged(filters).and_then(|merged| compile(&merged, &mut left).ok());
    match rules {
        Some(rules) => {
            *budget = left;
            Ok(rules)
        }
        // Message by message the first mistake is found, which is the one to tell.
        None => compile(filters, budget),
    }
}

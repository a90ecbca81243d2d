//! The flow that the expressions of a filter are asked about, and what is said when one fails.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flow_api::flow::Flow;
use prost::Message as _;
use prost_reflect::DynamicMessage;

use super::Expression;
use super::evaluate::{MOST_STEPS_OF_FLOW, evaluate};

/// As many failures of a filter are logged unless all are asked for.
const LOGGED_FAILURES: u32 = 10;

/// What failed of a filter so far, shared by its clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    count: Arc<AtomicU32>,
    log_all: bool,
}

impl Failures {
    pub(crate) fn log_all(&mut self) {
        self.log_all = true;
    }

    fn log(&self, error: &dyn std::error::Error) {
        if self.log_all {
            tracing::error!(%error, "error running CEL program");
            return;
        }
        // Past the limit nothing is counted, so the number cannot wrap.
        if self.count.load(Ordering::Relaxed) >= LOGGED_FAILURES {
            return;
        }
        tracing::error!(%error, "error running CEL program");
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == LOGGED_FAILURES {
            tracing::warn!("further errors of this filter's CEL programs are not logged");
        }
    }
}

/// One event on its way through a filter. The flow is made for the first expression that asks, and
/// serves all others.
pub(crate) struct Subject<'f> {
    failures: &'f Failures,
    flow: OnceCell<Option<DynamicMessage>>,
    steps_left: Cell<u32>,
}

impl<'f> Subject<'f> {
    pub(crate) fn new(failures: &'f Failures) -> Self {
        Self {
            failures,
            flow: OnceCell::new(),
            steps_left: Cell::new(MOST_STEPS_OF_FLOW),
        }
    }

    /// Whether any of the expressions says yes. One that fails is logged and ends the search.
    pub(crate) fn matches<'v>(
        &self,
        expressions: &[Expression],
        message: impl FnOnce() -> Cow<'v, Flow>,
    ) -> bool {
        let Some(first) = expressions.first() else {
            return false;
        };
        let flow = self.flow.get_or_init(|| {
            let encoded = message().encode_to_vec();
            let decoded = DynamicMessage::decode(first.flow.clone(), &*encoded);
            decoded.inspect_err(|error| self.failures.log(error)).ok()
        });
        flow.as_ref()
            .is_some_and(|flow| self.any(expressions, Some(flow)))
    }

    /// As [`matches`](Self::matches), of an event that is no flow. It reads as one that has nothing.
    pub(crate) fn matches_other(&self, expressions: &[Expression]) -> bool {
        self.any(expressions, None)
    }

    fn any(&self, expressions: &[Expression], flow: Option<&DynamicMessage>) -> bool {
        for expression in expressions {
            let Expression { program, flow: of } = expression;
            match evaluate(program, of, flow, &self.steps_left) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    self.failures.log(&error);
                    return false;
                }
            }
        }
        false
    }
}

//! Whether clients should be sent to this agent.
//!
//! It is ready when it observes and those who tell of names have told something. If they do not, it is
//! ready a little later all the same: flows with bare addresses are better than none, and a relay may
//! leave out agents that are not ready.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use flow_api::server::Readiness;
use tokio_util::sync::CancellationToken;

use crate::enrich::{ProviderState, ProviderStatus, Reports};

/// How long names are waited for. A large cluster tells all of its own within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that observes.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) providers: Vec<Arc<dyn Reports>>,
    pub(super) observing_since: Instant,
    /// Cancelled when the agent begins to end.
    pub(super) ending: CancellationToken,
}

impl Condition {
    pub(super) fn now(&self) -> Readiness {
        if self.ending.is_cancelled() {
            return not_ready("ending".to_owned());
        }
        let reports = self.providers.iter().map(|it| it.report());
        let silent: Vec<_> = reports.filter(|it| !has_told(it)).collect();
        if silent.is_empty() {
            return ready("observing".to_owned());
        }
        let names: Vec<_> = silent.iter().map(|it| it.name).collect();
        let names = names.join(", ");
        if self.observing_since.elapsed() < PATIENCE {
            not_ready(format!("observing, and waiting for names of {names}"))
        } else {
            ready(format!("observing, without names of {names}"))
        }
    }
}

fn ready(reason: String) -> Readiness {
    Readiness {
        is_ready: true,
        reason,
    }
}

fn not_ready(reason: String) -> Readiness {
    Readiness {
        is_ready: false,
        reason,
    }
}

/// Whether something was ever heard of a provider. One that is lost has still told what it had.
fn has_told(report: &ProviderStatus) -> bool {
    match report.state {
        ProviderState::Absent | ProviderState::Connected | ProviderState::Partial => true,
        ProviderState::Lost | ProviderState::Starting => {
            let has_known = |it: &ProviderStatus| it.objects > 0 || it.last_event.is_some();
            has_known(report) || report.parts.iter().any(has_known)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[derive(Clone, Debug)]
    struct Told(ProviderStatus);

    impl Reports for Told {
        fn report(&self) -> ProviderStatus {
            self.0.clone()
        }
    }

    fn condition(state: ProviderState, objects: u64, observing_for: Duration) -> Condition {
        let status = ProviderStatus {
            name: "kubernetes",
            source: String::new(),
            state,
            since: SystemTime::now(),
            last_event: None,
            age_seconds: 0,
            objects,
            reason: String::new(),
            parts: Vec::new(),
        };
        Condition {
            providers: vec![Arc::new(Told(status))],
            observing_since: Instant::now().checked_sub(observing_for).unwrap(),
            ending: CancellationToken::new(),
        }
    }

    #[test]
    fn an_agent_is_ready_when_names_were_told_or_were_waited_for() {
        use ProviderState::{Connected, Lost, Starting};
        let (young, old) = (Duration::ZERO, PATIENCE);
        for (state, objects, observing_for, expected) in [
            (Connected, 0, young, ready("observing".to_owned())),
            (Lost, 3, young, ready("observing".to_owned())),
            (
                Starting,
                0,
                young,
                not_ready("observing, and waiting for names of kubernetes".to_owned()),
            ),
            (
                Lost,
                0,
                old,
                ready("observing, without names of kubernetes".to_owned()),
            ),
        ] {
            assert_eq!(condition(state, objects, observing_for).now(), expected);
        }
    }

    #[test]
    fn an_agent_that_ends_is_not_ready() {
        let condition = condition(ProviderState::Connected, 1, Duration::ZERO);
        condition.ending.cancel();
        assert_eq!(condition.now(), not_ready("ending".to_owned()));
    }
}

//! How each watch is doing: written by the watches, read by whoever asks for the status.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{request::RequestError, resource::Resource};
use crate::enrich::provider::{ProviderState, ProviderStatus};

/// One row for each resource.
#[derive(Debug)]
pub(super) struct Board {
    server: String,
    rows: Mutex<Rows>,
    /// The resources that the server has answered for, one bit each.
    answered: watch::Sender<u32>,
}

#[derive(Debug)]
struct Rows {
    rows: [Row; Resource::ALL.len()],
    state: ProviderState,
    since: SystemTime,
    /// What is wrong although all watches stand.
    remark: Option<String>,
    /// What the log said last.
    logged: (ProviderState, Vec<Resource>),
}

#[derive(Clone, Debug)]
struct Row {
    state: ProviderState,
    since: SystemTime,
    last_event: Option<SystemTime>,
    /// When its knowledge was good; before anything was heard, when the agent started.
    good_at: Instant,
    objects: u64,
    reason: String,
    /// The server is there, and says no.
    is_refused: bool,
}

impl Board {
    pub(super) fn new(server: String) -> Self {
        let row = Row {
            state: ProviderState::Starting,
            since: SystemTime::now(),
            last_event: None,
            good_at: Instant::now(),
            objects: 0,
            reason: String::new(),
            is_refused: false,
        };
        Self {
            server,
            answered: watch::Sender::new(0),
            rows: Mutex::new(Rows {
                state: row.state,
                since: row.since,
                remark: None,
                logged: (row.state, Vec::new()),
                rows: std::array::from_fn(|_| row.clone()),
            }),
        }
    }

    /// The server said something about it: an event, or only that there is none.
    pub(super) fn heard(&self, resource: Resource, is_event: bool) {
        let mut rows = self.lock();
        let row = &mut rows.rows[resource.index()];
        row.good_at = Instant::now();
        if is_event {
            row.last_event = Some(SystemTime::now());
        }
    }

    /// A watch stands. Whether it did not before.
    pub(super) fn watching(&self, resource: Resource) -> bool {
        self.set(resource, ProviderState::Connected, "", false)
    }

    /// The cluster does without this resource.
    pub(super) fn absent(&self, resource: Resource) {
        self.set(resource, ProviderState::Absent, "", false);
    }

    pub(super) fn failed(&self, resource: Resource, error: &RequestError) {
        let is_refused = error.is_answer();
        let reason = error.to_string();
        self.set(resource, ProviderState::Lost, &reason, is_refused);
    }

    pub(super) fn set_objects(&self, count: impl Fn(Resource) -> usize) {
        let mut rows = self.lock();
        for resource in Resource::ALL {
            rows.rows[resource.index()].objects = count(resource) as u64;
        }
    }

    /// What is wrong with what the server tells, if anything is. Logged once.
    pub(super) fn set_remark(&self, remark: Option<String>) {
        let mut rows = self.lock();
        if rows.remark == remark {
            return;
        }
        if let Some(remark) = &remark {
            warn!(server = self.server, "{remark}");
        }
        rows.remark = remark;
    }

    /// Waits until the server has answered for a resource, whatever it said.
    pub(super) async fn answered(&self, resource: Resource) {
        let mut answered = self.answered.subscribe();
        let bit = 1 << resource.index();
        // The sender lives as long as we do.
        drop(answered.wait_for(|bits| bits & bit != 0).await);
    }

    fn set(
        &self,
        resource: Resource,
        state: ProviderState,
        reason: &str,
        is_refused: bool,
    ) -> bool {
        if state != ProviderState::Lost || is_refused {
            self.answered
                .send_modify(|bits| *bits |= 1 << resource.index());
        }
        let mut rows = self.lock();
        let row = &mut rows.rows[resource.index()];
        let is_new = row.state != state;
        if is_new {
            // As long as a watch stands, everything is known as it happens.
            if row.state == ProviderState::Connected || state == ProviderState::Connected {
                row.good_at = Instant::now();
            }
            row.state = state;
            row.since = SystemTime::now();
            debug!(resource = resource.name(), ?state, reason, "watch");
        }
        reason.clone_into(&mut row.reason);
        row.is_refused = is_refused;
        rows.log(&self.server);
        is_new
    }

    /// How all of it is doing.
    pub(super) fn status(&self) -> ProviderStatus {
        let rows = self.lock();
        let part = |resource: Resource| {
            let row = &rows.rows[resource.index()];
            let is_good = matches!(row.state, ProviderState::Connected | ProviderState::Absent);
            ProviderStatus {
                name: resource.name(),
                source: String::new(),
                state: row.state,
                since: row.since,
                last_event: row.last_event,
                age_seconds: if is_good {
                    0
                } else {
                    row.good_at.elapsed().as_secs()
                },
                objects: row.objects,
                reason: row.reason.clone(),
                parts: Vec::new(),
            }
        };
        let parts: Vec<_> = Resource::ALL.into_iter().map(part).collect();
        let worst = parts.iter().max_by_key(|part| part.age_seconds);
        let failing = parts.iter().find(|part| !part.reason.is_empty());
        ProviderStatus {
            name: "kubernetes",
            source: self.server.clone(),
            state: rows.state,
            since: rows.since,
            last_event: parts.iter().filter_map(|part| part.last_event).max(),
            age_seconds: worst.map_or(0, |part| part.age_seconds),
            objects: parts.iter().map(|part| part.objects).sum(),
            reason: failing
                .map(|part| part.reason.clone())
                .or_else(|| rows.remark.clone())
                .unwrap_or_default(),
            parts,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    /// The state of all watches together.
    fn overall(&self) -> ProviderState {
        let has = |state| self.rows.iter().any(|row| row.state == state);
        match (
            has(ProviderState::Connected),
            has(ProviderState::Lost),
            has(ProviderState::Starting),
        ) {
            (true, true, _) => ProviderState::Partial,
            (false, true, _) => ProviderState::Lost,
            (_, false, true) => ProviderState::Starting,
            (_, false, false) => ProviderState::Connected,
        }
    }

    /// Logs what changed for all of them, and what the server refuses; not each attempt.
    fn log(&mut self, server: &str) {
        let state = self.overall();
        if self.state != state {
            self.state = state;
            self.since = SystemTime::now();
        }
        let refused: Vec<Resource> = Resource::ALL
            .into_iter()
            .filter(|resource| self.rows[resource.index()].is_refused)
            .collect();
        let news = (state, refused);
        if self.logged == news {
            return;
        }
        let reason = self.rows.iter().find(|row| !row.reason.is_empty());
        let reason = reason.map_or("", |row| &row.reason);
        match state {
            ProviderState::Connected => info!(server, "following the API server"),
            ProviderState::Lost => {
                warn!(server, reason, "API server lost; what it told so far stays");
            }
            // On the way to one of the others, within moments; or servers take turns.
            ProviderState::Partial if news.1.is_empty() => return,
            ProviderState::Partial => {
                let names: Vec<_> = news.1.iter().map(|it| it.name()).collect();
                let names = names.join(", ");
                warn!(
                    server,
                    refused = names,
                    reason,
                    "some resources cannot be watched"
                );
            }
            ProviderState::Starting | ProviderState::Absent => {}
        }
        self.logged = news;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> RequestError {
        RequestError::Refused {
            code: 403,
            message: "services is forbidden".to_owned(),
        }
    }

    fn connected() -> Board {
        let board = Board::new("https://192.0.2.1".to_owned());
        for resource in Resource::ALL {
            if resource.is_optional() {
                board.absent(resource);
            } else {
                board.watching(resource);
            }
        }
        board
    }

    #[test]
    fn what_the_cluster_does_without_is_no_failure() {
        assert_eq!(connected().status().state, ProviderState::Connected);
    }

    #[test]
    fn one_resource_that_is_refused_leaves_the_others() {
        let board = connected();
        board.failed(Resource::Services, &refused());
        let status = board.status();
        assert_eq!(status.state, ProviderState::Partial);
        assert_eq!(status.reason, "services is forbidden");
        let lost: Vec<_> = status
            .parts
            .iter()
            .filter(|part| part.state == ProviderState::Lost)
            .map(|part| part.name)
            .collect();
        assert_eq!(lost, ["services"]);
        assert!(board.watching(Resource::Services));
        assert_eq!(board.status().state, ProviderState::Connected);
        assert_eq!(board.status().reason, "");
    }

    #[test]
    fn it_is_lost_when_no_watch_stands() {
        let board = connected();
        let gone = RequestError::Connection("connection refused".to_owned());
        for resource in Resource::ALL {
            board.failed(resource, &gone);
        }
        assert_eq!(board.status().state, ProviderState::Lost);
    }

    #[tokio::test]
    async fn an_answer_is_one_even_if_it_is_no() {
        let board = Board::new(String::new());
        board.failed(Resource::Namespaces, &refused());
        board.answered(Resource::Namespaces).await;
    }
}

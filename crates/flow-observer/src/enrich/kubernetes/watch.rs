//! One resource, listed and then watched for as long as the agent runs: in go the API server's
//! answers, out come updates.
//!
//! It is our own loop rather than that of a library, since it tells what a status needs to know: when
//! a watch stands, that a bookmark is a sign of life, and when a version is of another history than
//! ours, as after a backup was restored. A line that cannot be read, too, means that something was
//! missed, and only a list makes up for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::Client;
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};

use super::{
    board::Board,
    objects::{Object, Watched},
    request::{self, Event, RequestError},
    resource::Resource,
    table::ObjectKey,
};
use crate::counters::Counters;

/// Objects that are asked for at once, as other clients do.
const PAGE_OBJECTS: u32 = 500;
/// How long a watch lasts: in seconds, from and to. It varies, so that agents do not all come back
/// at once.
const WATCH_SECONDS: (u32, u32) = (240, 300);
/// A watch that the server ends sooner than this did not do its work.
const SHORT_WATCH: Duration = Duration::from_secs(1);
/// How long to wait for what is to be listed first.
const PREREQUISITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that a watch has to say.
#[derive(Debug)]
pub(super) enum Update {
    /// A list begins.
    Begin(Resource),
    /// It is so now. Boxed, since it waits in a queue with others that are smaller.
    Put(ObjectKey, Box<Object>),
    /// It is gone.
    Gone(Resource, ObjectKey),
    /// The list is complete: what it did not name is gone.
    End(Resource),
}

/// How patient watches are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// The first wait after a failure. Each further one is twice as long.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// After an outage of this length, everything is listed anew: what answers then may have come
    /// from a backup, and its versions mean nothing to us. Shorter ones are servers taking turns.
    pub list_after: Duration,
    /// How often to look for resources that the cluster may do without.
    pub look_again: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(15),
            list_after: Duration::from_secs(10),
            look_again: Duration::from_secs(60),
        }
    }
}

/// What all watches of an agent share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) board: Board,
    pub(super) counters: Arc<Counters>,
    pub(super) patience: Patience,
    /// Told when the server answers after it did not: nobody needs to wait any longer.
    pub(super) is_back: Notify,
}

/// The teller has gone: nobody listens any more.
struct Unheard;

impl<T> From<mpsc::error::SendError<T>> for Unheard {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

enum Ended {
    /// The server ended it in its own time.
    InTime,
    Failed(RequestError),
    Unheard,
}

impl From<RequestError> for Ended {
    fn from(error: RequestError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unheard> for Ended {
    fn from(_: Unheard) -> Self {
        Self::Unheard
    }
}

impl<T> From<mpsc::error::SendError<T>> for Ended {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self::Unheard
    }
}

/// The watch of one resource.
pub(super) struct Watch {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    /// Received by the teller; when it is full, the API server waits.
    pub(super) updates: mpsc::Sender<Update>,
}

/// Where a watch is.
#[derive(Default)]
struct Position {
    /// The version that was heard last; a list comes first if there is none.
    version: Option<String>,
    /// Since when the server has not answered as hoped.
    lost_since: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
}

impl Watch {
    /// Watches until nobody listens.
    pub(super) async fn run<K: Watched>(self) {
        let mut position = Position::default();
        self.await_prerequisites(K::RESOURCE).await;
        loop {
            let ended = match &position.version {
                None => self.list::<K>(&mut position).await,
                Some(_) => self.watch::<K>(&mut position).await,
            };
            match ended {
                Ok(()) | Err(Ended::InTime) => {}
                Err(Ended::Unheard) => return,
                Err(Ended::Failed(error)) => {
                    if self.failed::<K>(error, &mut position).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn await_prerequisites(&self, resource: Resource) {
        let answered = async {
            for &first in resource.prerequisites() {
                self.shared.board.answered(first).await;
            }
        };
        // Those that never answer hold nobody up for ever.
        drop(timeout(PREREQUISITE_TIMEOUT, answered).await);
    }

    async fn list<K: Watched>(&self, position: &mut Position) -> Result<(), Ended> {
        let mut page = request::page::<K>(&self.client, PAGE_OBJECTS, "").await?;
        self.updates.send(Update::Begin(K::RESOURCE)).await?;
        loop {
            for object in page.items.take().into_iter().flatten() {
                self.put(object).await?;
            }
            self.shared.board.heard(K::RESOURCE, false);
            if page.metadata.r#continue.is_empty() {
                break;
            }
            let next = page.metadata.r#continue;
            page = request::page(&self.client, PAGE_OBJECTS, &next).await?;
        }
        self.updates.send(Update::End(K::RESOURCE)).await?;
        position.version = Some(page.metadata.resource_version);
        position.lost_since = None;
        Ok(())
    }

    async fn watch<K: Watched>(&self, position: &mut Position) -> Result<(), Ended> {
        let version = position.version.clone().unwrap_or_default();
        if position.lost_since.is_some() {
            // A server that came back from a backup would hear our version as one of the future, and
            // say nothing until its history is there.
            let now = request::page::<K>(&self.client, 1, "").await?;
            let now = now.metadata.resource_version;
            if !follows(&now, Some(&version)) {
                self.count::<K>("other_history");
                position.version = None;
                return Ok(());
            }
        }
        let seconds = rand::random_range(WATCH_SECONDS.0..=WATCH_SECONDS.1);
        let mut events = request::watch::<K>(&self.client, &version, seconds).await?;
        let started = Instant::now();
        if self.shared.board.watching(K::RESOURCE) {
            self.shared.is_back.notify_waiters();
        }
        position.lost_since = None;
        while let Some(event) = events.next().await? {
            position.failures = 0;
            let is_news = !matches!(event, Event::Bookmark(_));
            let told = match &event {
                Event::Added(it) | Event::Modified(it) | Event::Deleted(it) => {
                    &it.metadata().resource_version
                }
                Event::Bookmark(it) => &it.metadata.resource_version,
                Event::Error(_) => "",
            };
            if !follows(told, position.version.as_deref()) {
                // Another history. What it had before this event, nobody told.
                self.count::<K>("other_history");
                position.version = None;
                return Ok(());
            }
            if !told.is_empty() {
                position.version = Some(told.to_owned());
            }
            match event {
                Event::Added(object) | Event::Modified(object) => self.put(object).await?,
                Event::Deleted(object) => {
                    let key = object.metadata().key().into();
                    self.updates.send(Update::Gone(K::RESOURCE, key)).await?;
                }
                Event::Bookmark(_) | Event::Error(_) => {}
            }
            self.shared.board.heard(K::RESOURCE, is_news);
        }
        if started.elapsed() < SHORT_WATCH {
            return Err(RequestError::EndedAtOnce.into());
        }
        Err(Ended::InTime)
    }

    async fn put<K: Watched>(&self, object: K) -> Result<(), Unheard> {
        let key = object.metadata().key().into();
        let object = Box::new(object.into_object());
        Ok(self.updates.send(Update::Put(key, object)).await?)
    }

    /// Counts a failure, says so, and waits for as long as is fit.
    async fn failed<K: Watched>(
        &self,
        error: RequestError,
        position: &mut Position,
    ) -> Result<(), Unheard> {
        let Shared {
            board,
            patience,
            is_back,
            ..
        } = &*self.shared;
        if error.is_not_found() && K::RESOURCE.is_optional() {
            board.absent(K::RESOURCE);
            // It may have been there before.
            self.updates.send(Update::Begin(K::RESOURCE)).await?;
            self.updates.send(Update::End(K::RESOURCE)).await?;
            *position = Position::default();
            sleep(jittered(patience.look_again)).await;
            return Ok(());
        }
        self.count::<K>(error.kind());
        let since = *position.lost_since.get_or_insert_with(Instant::now);
        let first_too_old = position.failures == 0 && error.kind() == "gone";
        if error.needs_list() {
            position.version = None;
        }
        let is_unreachable = !error.is_answer();
        if !first_too_old {
            board.failed(K::RESOURCE, &error);
            let wait = patience
                .first
                .saturating_mul(1 << position.failures.min(16));
            let wait = sleep(jittered(wait.min(patience.longest)));
            if is_unreachable {
                tokio::select! {
                    () = wait => {}
                    () = is_back.notified() => {}
                }
            } else {
                wait.await;
            }
        }
        position.failures = position.failures.saturating_add(1);
        if since.elapsed() >= patience.list_after {
            position.version = None;
        }
        Ok(())
    }

    fn count<K: Watched>(&self, kind: &'static str) {
        let name = K::RESOURCE.name();
        self.shared.counters.provider_error(name, kind);
    }
}

/// Whether a version may come after another in one history. They are numbers that grow, although
/// older servers do not promise it: what is no number is believed.
fn follows(version: &str, earlier: Option<&str>) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    match (number(version), earlier.and_then(number)) {
        (Some(version), Some(earlier)) => version >= earlier,
        _ => true,
    }
}

/// From half of it to all of it, so that many agents do not come at the same moment.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_goes_back_is_of_another_history() {
        assert!(follows("12", Some("9")));
        assert!(follows("12", Some("12")));
        assert!(!follows("8", Some("12")));
        assert!(follows("abc", Some("12")));
        assert!(follows("1", None));
    }

    #[test]
    fn waits_vary_but_never_exceed_what_was_said() {
        let wait = Duration::from_secs(10);
        for _ in 0..100 {
            assert!((wait / 2..=wait).contains(&jittered(wait)));
        }
    }
}

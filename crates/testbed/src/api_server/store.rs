//! The objects, what changed, and how the server is to misbehave.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Changes that are kept for watches that come back; more than any test makes within a moment, and
/// less than a hundred megabytes.
const MAX_HISTORY: usize = 10_000;
/// Requests that are remembered, the latest ones; a test looks at a few.
const MAX_REQUESTS: usize = 1_000;
/// The first version; a server is never new.
const FIRST_VERSION: u64 = 1000;

#[derive(Debug)]
pub(super) struct Store {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// By resource, then by key.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    version: u64,
    history: VecDeque<Change>,
    /// Changes up to this version are forgotten.
    compacted: u64,
    settings: Settings,
    /// Watches that are of an older number end.
    watch_number: u64,
    how_to_end: End,
    /// Connections that are of an older number hang up.
    life: u64,
    watches: usize,
    list_requests: u64,
    bookmarks: u64,
    requests: VecDeque<String>,
    /// Where ports of pods lead, by namespace, pod and port.
    targets: BTreeMap<(String, String, u16), SocketAddr>,
    /// Forwards that began, and those of them that stand.
    forwards: u64,
    standing_forwards: usize,
    /// Forwards up to this number break.
    cut_forwards: u64,
}

#[derive(Clone, Debug)]
struct Change {
    version: u64,
    resource: String,
    line: String,
}

/// How a watch ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// In good order.
    Ordered,
    /// In the middle of a line.
    Broken,
    /// With 410.
    Expired,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) has_cilium: bool,
    pub(super) forbidden: BTreeSet<String>,
    pub(super) delay: Duration,
    pub(super) bookmark_interval: Duration,
    /// Events to tell as garbage, still.
    pub(super) garbled: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            changed: Condvar::new(),
            state: Mutex::new(State {
                objects: BTreeMap::new(),
                version: FIRST_VERSION,
                history: VecDeque::new(),
                compacted: 0,
                settings: Settings {
                    has_cilium: false,
                    forbidden: BTreeSet::new(),
                    delay: Duration::ZERO,
                    bookmark_interval: Duration::from_secs(1),
                    garbled: 0,
                },
                watch_number: 0,
                how_to_end: End::Ordered,
                life: 0,
                watches: 0,
                list_requests: 0,
                bookmarks: 0,
                requests: VecDeque::new(),
                targets: BTreeMap::new(),
                forwards: 0,
                standing_forwards: 0,
                cut_forwards: 0,
            }),
        }
    }
}

/// A page of a list.
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    pub(super) version: u64,
    pub(super) next: Option<String>,
}

/// What a watch is to do next.
pub(super) enum Next {
    /// Tell these lines; the watch has then heard of everything up to the version.
    Lines(Vec<String>, u64),
    /// Nothing happened: tell a bookmark.
    Bookmark(u64),
    End(End),
    /// The server is gone.
    HangUp,
}

/// A watch that stands, for as long as this lives.
pub(super) struct Standing<'a> {
    store: &'a Store,
    number: u64,
    life: u64,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.store.lock().watches -= 1;
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and lets all watches look.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    pub(super) fn put(&self, object: Value) {
        let resource = resource_of(&object);
        let key = key_of(&object);
        self.change(|state| {
            let is_new = !state.objects(&resource).contains_key(&key);
            let kind = if is_new { "ADDED" } else { "MODIFIED" };
            let object = state.record(&resource, kind, object);
            state.objects(&resource).insert(key, object);
        });
    }

    pub(super) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.change(|state| {
            let key = format!("{namespace}/{name}");
            if let Some(object) = state.objects(resource).remove(&key) {
                state.record(resource, "DELETED", object);
            }
        });
    }

    pub(super) fn settings(&self, change: impl FnOnce(&mut Settings)) {
        self.change(|state| change(&mut state.settings));
    }

    pub(super) fn current_settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    /// Whether the next event is to be garbage.
    pub(super) fn takes_garbled(&self) -> bool {
        let garbled = &mut self.lock().settings.garbled;
        let is_garbled = *garbled > 0;
        *garbled = garbled.saturating_sub(1);
        is_garbled
    }

    pub(super) fn end_watches(&self) {
        self.end(End::Ordered);
    }

    pub(super) fn break_watches(&self) {
        self.end(End::Broken);
    }

    pub(super) fn expire_watches(&self) {
        self.compact();
        self.end(End::Expired);
    }

    fn end(&self, how: End) {
        self.change(|state| {
            state.how_to_end = how;
            state.watch_number += 1;
        });
    }

    pub(super) fn compact(&self) {
        self.change(|state| {
            state.history.clear();
            state.compacted = state.version;
        });
    }

    pub(super) fn restore(&self, first: u64) {
        self.change(|state| {
            state.history.clear();
            state.version = first;
            state.compacted = 0;
            for objects in state.objects.values_mut() {
                for object in objects.values_mut() {
                    state.version += 1;
                    object["metadata"]["resourceVersion"] = state.version.to_string().into();
                }
            }
        });
    }

    pub(super) fn hang_up(&self) {
        self.change(|state| state.life += 1);
    }

    pub(super) fn life(&self) -> u64 {
        self.lock().life
    }

    pub(super) fn list_requests(&self) -> u64 {
        self.lock().list_requests
    }

    pub(super) fn bookmarks(&self) -> u64 {
        self.lock().bookmarks
    }

    pub(super) fn watches(&self) -> usize {
        self.lock().watches
    }

    pub(super) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = format!("{namespace}/{name}");
        self.lock().objects(resource).get(&key).cloned()
    }

    pub(super) fn count_request(&self, target: &str) {
        let mut state = self.lock();
        if state.requests.len() == MAX_REQUESTS {
            state.requests.pop_front();
        }
        state.requests.push_back(target.to_owned());
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(super) fn set_target(&self, namespace: &str, pod: &str, port: u16, target: SocketAddr) {
        let key = (namespace.to_owned(), pod.to_owned(), port);
        self.lock().targets.insert(key, target);
    }

    pub(super) fn target(
        &self,
        (namespace, pod): &(String, String),
        port: u16,
    ) -> Option<SocketAddr> {
        let key = (namespace.clone(), pod.clone(), port);
        self.lock().targets.get(&key).copied()
    }

    /// A forward begins; its number.
    pub(super) fn forward_begins(&self) -> u64 {
        let mut state = self.lock();
        state.forwards += 1;
        state.standing_forwards += 1;
        state.forwards
    }

    pub(super) fn forward_ends(&self) {
        self.lock().standing_forwards -= 1;
    }

    pub(super) fn forwards(&self) -> (u64, usize) {
        let state = self.lock();
        (state.forwards, state.standing_forwards)
    }

    pub(super) fn cut_forwards(&self) {
        let mut state = self.lock();
        state.cut_forwards = state.forwards;
    }

    pub(super) fn forward_is_cut(&self, number: u64) -> bool {
        number <= self.lock().cut_forwards
    }

    /// At most `limit` objects after the one that `token` names, which is `VERSION:KEY`. `None` when
    /// the token is too old.
    pub(super) fn list(&self, resource: &str, limit: usize, token: Option<&str>) -> Option<Page> {
        let mut state = self.lock();
        if limit > 1 {
            state.list_requests += 1;
        }
        let version = state.version;
        let compacted = state.compacted;
        let (version, after) = match token.and_then(|token| token.split_once(':')) {
            Some((told, key)) => (told.parse().unwrap_or(version), Some(key)),
            None => (version, None),
        };
        if version < compacted {
            return None;
        }
        let objects = state.objects(resource);
        let later = objects
            .iter()
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let items: Vec<_> = later.take(limit).collect();
        let last = items.last().map(|(key, _)| key.as_str());
        let next = last
            .filter(|last| {
                items.len() == limit
                    && objects
                        .keys()
                        .next_back()
                        .is_some_and(|it| it.as_str() > *last)
            })
            .map(|last| format!("{version}:{last}"));
        Some(Page {
            items: items
                .into_iter()
                .map(|(_, object)| object.clone())
                .collect(),
            version,
            next,
        })
    }

    /// Begins a watch; `None` when the version is too old.
    pub(super) fn watch(&self, version: u64, life: u64) -> Option<Standing<'_>> {
        let mut state = self.lock();
        if version < state.compacted {
            return None;
        }
        state.watches += 1;
        Some(Standing {
            store: self,
            number: state.watch_number,
            life,
        })
    }
}

impl Standing<'_> {
    /// Waits for what comes after `version`.
    pub(super) fn next(&self, resource: &str, version: u64, until: Instant) -> Next {
        let mut state = self.store.lock();
        let bookmark_at = Instant::now() + state.settings.bookmark_interval;
        loop {
            if state.life != self.life {
                return Next::HangUp;
            }
            if state.watch_number != self.number {
                return Next::End(state.how_to_end);
            }
            // As in a real one, a watch from the future hears nothing until history is there.
            let from = state.history.partition_point(|it| it.version <= version);
            let lines: Vec<_> = state
                .history
                .range(from..)
                .filter(|it| it.resource == resource)
                .map(|it| it.line.clone())
                .collect();
            if !lines.is_empty() {
                return Next::Lines(lines, state.version);
            }
            let now = Instant::now();
            if now >= until {
                return Next::End(End::Ordered);
            }
            if now >= bookmark_at {
                state.bookmarks += 1;
                // As above: no bookmark goes back.
                return Next::Bookmark(state.version.max(version));
            }
            let wait = until.min(bookmark_at) - now;
            let waited = self.store.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn objects(&mut self, resource: &str) -> &mut BTreeMap<String, Value> {
        self.objects.entry(resource.to_owned()).or_default()
    }

    /// Writes a change down under a version of its own, which the object then has.
    fn record(&mut self, resource: &str, kind: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        if self.history.len() == MAX_HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.compacted = oldest.version;
        }
        self.history.push_back(Change {
            version: self.version,
            resource: resource.to_owned(),
            line: json!({"type": kind, "object": object}).to_string(),
        });
        object
    }
}

/// As in `pods`.
fn resource_of(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

fn key_of(object: &Value) -> String {
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

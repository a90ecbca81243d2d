//! What was counted on the way from the source to the ring.
//!
//! Each number is counted once, where it came about; [`Counters::stages`] lists them all.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use flow_api::server::ServerCounts;

use crate::{
    enrich::Misses,
    export::ExportCounts,
    loss_log::{Kind, LossLog},
};

/// Counts of one agent since its start.
#[derive(Debug)]
pub struct Counters {
    started: Instant,
    started_ns: i64,
    read_events: AtomicU64,
    seen_flows: AtomicU64,
    closing_reports: AtomicU64,
    /// Ends of flows that nobody knows: with private addresses, and with others.
    missed_ends: [AtomicU64; 2],
    /// Records that the kernel could not hand over, by CPU.
    lost: Mutex<BTreeMap<u32, u64>>,
    /// How often it was told of such.
    loss_reports: AtomicU64,
    other_node: AtomicU64,
    received_copies: AtomicU64,
    sockets_elsewhere: AtomicU64,
    identity_collisions: AtomicU64,
    inventories_taken: AtomicU64,
    inventories_refused: AtomicU64,
    agent_events_left_out: AtomicU64,
    metrics_configs_taken: AtomicU64,
    metrics_configs_refused: AtomicU64,
    /// Records that could not be decoded, by reason. Rare, so a lock will do.
    undecodable: Mutex<BTreeMap<&'static str, u64>>,
    /// What decoding had to remark without losing anything: what, and which kind.
    noted: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Names that were forgotten before their time, by the bound that they were forgotten for.
    forgotten_names: Mutex<BTreeMap<&'static str, u64>>,
    /// What went wrong in asking who is who: about what, and which kind.
    provider_errors: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// What the source counted itself, as of its last report.
    source: Mutex<Vec<StageCount>>,
    /// When what was lost.
    losses: Mutex<LossLog>,
    /// What the server counts about its clients.
    server: Arc<ServerCounts>,
    /// What exporters count.
    export: Arc<ExportCounts>,
}

/// A number with its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StageCount {
    /// Where it was counted.
    pub stage: Stage,
    /// What was counted.
    pub what: &'static str,
    /// Which kind, where there are several: a reason, or a CPU.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Somebody would have wanted to see these.
    pub is_loss: bool,
}

/// A stage of the way, in its order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// The probes, or whatever writes events.
    Kernel,
    /// Reading them.
    Source,
    /// Making sense of them.
    Decode,
    /// Finding out who they are about.
    Enrich,
    /// Keeping them.
    Ring,
    /// Answering clients.
    Serve,
    /// Writing them to files.
    Export,
}

impl Stage {
    /// Its name in status and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Source => "source",
            Self::Decode => "decode",
            Self::Enrich => "enrich",
            Self::Ring => "ring",
            Self::Serve => "serve",
            Self::Export => "export",
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            started_ns: wall_clock_ns(),
            read_events: AtomicU64::new(0),
            missed_ends: Default::default(),
            seen_flows: AtomicU64::new(0),
            closing_reports: AtomicU64::new(0),
            lost: Mutex::default(),
            loss_reports: AtomicU64::new(0),
            other_node: AtomicU64::new(0),
            received_copies: AtomicU64::new(0),
            sockets_elsewhere: AtomicU64::new(0),
            identity_collisions: AtomicU64::new(0),
            inventories_taken: AtomicU64::new(0),
            inventories_refused: AtomicU64::new(0),
            agent_events_left_out: AtomicU64::new(0),
            metrics_configs_taken: AtomicU64::new(0),
            metrics_configs_refused: AtomicU64::new(0),
            undecodable: Mutex::default(),
            noted: Mutex::default(),
            forgotten_names: Mutex::default(),
            provider_errors: Mutex::default(),
            source: Mutex::default(),
            losses: Mutex::default(),
            server: Arc::default(),
            export: Arc::default(),
        }
    }
}

impl Counters {
    /// When counting began.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The same by the wall clock: nanoseconds since 1970.
    pub(crate) fn started_ns(&self) -> i64 {
        self.started_ns
    }

    /// Flows published.
    #[must_use]
    pub fn seen_flows(&self) -> u64 {
        self.seen_flows.load(Ordering::Relaxed)
    }

    /// Events that the source handed over, whatever became of them.
    #[must_use]
    pub fn read_events(&self) -> u64 {
        self.read_events.load(Ordering::Relaxed)
    }

    /// Ends of flows that nobody knew.
    #[must_use]
    pub fn enrich_misses(&self) -> Misses {
        let [private, public] = &self.missed_ends;
        Misses {
            private: private.load(Ordering::Relaxed),
            public: public.load(Ordering::Relaxed),
        }
    }

    /// Changed inventories that came into use, and those that could not.
    pub(crate) fn inventories(&self) -> (u64, u64) {
        (
            self.inventories_taken.load(Ordering::Relaxed),
            self.inventories_refused.load(Ordering::Relaxed),
        )
    }

    /// Records lost before the agent could read them.
    #[must_use]
    pub fn lost_records(&self) -> u64 {
        let lost = lock(&self.lost);
        lost.values()
            .fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// Records that could not be decoded, by reason.
    #[must_use]
    pub fn undecodable_records(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.undecodable).clone()
    }

    /// Everything that was counted, in the order of the stages. What never happened is left out,
    /// but for the flows and for what was lost.
    #[must_use]
    pub fn stages(&self) -> Vec<StageCount> {
        let mut counts = self.of_stream();
        counts.extend(self.export.stages());
        counts
    }

    /// What is about the stream that clients get: what an exporter loses, they do not.
    fn of_stream(&self) -> Vec<StageCount> {
        let count = |stage, what, count: &AtomicU64, is_loss| StageCount {
            stage,
            what,
            kind: String::new(),
            count: count.load(Ordering::Relaxed),
            is_loss,
        };
        let mut counts = lock(&self.source).clone();
        let lost = lock(&self.lost).clone();
        let by_cpu = lost
            .iter()
            .map(|(cpu, &count)| (format!("cpu{cpu}"), count));
        // A place to look at, also as long as there is nothing to see.
        let none = lost.is_empty().then(|| (String::new(), 0));
        counts.extend(by_cpu.chain(none).map(|(kind, count)| StageCount {
            stage: Stage::Kernel,
            what: "lost",
            kind,
            count,
            is_loss: true,
        }));
        let decode = |what, kind: &str, count, is_loss| StageCount {
            stage: Stage::Decode,
            what,
            kind: kind.to_owned(),
            count,
            is_loss,
        };
        counts.extend(
            lock(&self.undecodable)
                .iter()
                .map(|(reason, &count)| decode("undecodable", reason, count, true)),
        );
        counts.extend(
            lock(&self.noted)
                .iter()
                .map(|(&(what, kind), &count)| decode(what, kind, count, false)),
        );
        let enrich = [
            ("drops_elsewhere", &self.other_node),
            ("received_copies", &self.received_copies),
            ("sockets_elsewhere", &self.sockets_elsewhere),
            ("identity_collisions", &self.identity_collisions),
            ("inventories_taken", &self.inventories_taken),
            ("inventories_refused", &self.inventories_refused),
            ("agent_events_left_out", &self.agent_events_left_out),
        ]
        .map(|(what, number)| count(Stage::Enrich, what, number, false));
        counts.extend(enrich.into_iter().filter(|count| count.count > 0));
        counts.extend(
            lock(&self.forgotten_names)
                .iter()
                .map(|(&bound, &count)| StageCount {
                    stage: Stage::Enrich,
                    what: "forgotten_names",
                    kind: bound.to_owned(),
                    count,
                    is_loss: false,
                }),
        );
        let errors = lock(&self.provider_errors).clone().into_iter();
        counts.extend(errors.map(|((about, kind), count)| StageCount {
            stage: Stage::Enrich,
            what: "provider_errors",
            kind: format!("{about}, {kind}"),
            count,
            is_loss: false,
        }));
        counts.push(count(Stage::Ring, "flows", &self.seen_flows, false));
        counts.push(count(
            Stage::Ring,
            "closing_reports",
            &self.closing_reports,
            false,
        ));
        counts.extend(self.of_server());
        counts.sort_by_key(|count| count.stage);
        counts
    }

    /// Where the server counts.
    pub(crate) fn server(&self) -> Arc<ServerCounts> {
        Arc::clone(&self.server)
    }

    /// Where exporters count.
    #[must_use]
    pub fn export(&self) -> &Arc<ExportCounts> {
        &self.export
    }

    /// What the server counted, without what never happened.
    fn of_server(&self) -> impl Iterator<Item = StageCount> {
        let server = &self.server;
        let refused = server
            .refused()
            .map(|(refusal, count)| ("refused", refusal.name(), count));
        [
            ("connections", "", server.accepted()),
            ("certificates_taken", "", server.certificates_taken()),
            ("certificates_refused", "", server.certificates_refused()),
            ("metrics_configs_taken", "", self.metrics_configs().0),
            ("metrics_configs_refused", "", self.metrics_configs().1),
        ]
        .into_iter()
        .filter(|(.., count)| *count > 0)
        .chain(refused)
        .map(|(what, kind, count)| StageCount {
            stage: Stage::Serve,
            what,
            kind: kind.to_owned(),
            count,
            is_loss: false,
        })
    }

    /// What the source counted itself, in full. Told every second, which is how losses come to a
    /// time.
    pub(crate) fn set_source(&self, counts: Vec<StageCount>) {
        *lock(&self.source) = counts;
        self.date_losses();
    }

    /// What was lost between two times, with what has not been dated yet.
    pub(crate) fn lost_between(&self, from_ns: i64, to_ns: i64) -> BTreeMap<Kind, u64> {
        self.date_losses();
        lock(&self.losses).between(from_ns, to_ns)
    }

    fn date_losses(&self) {
        // Locked first, so that totals are compared in the order in which they were read.
        let mut losses = lock(&self.losses);
        losses.note(&self.of_stream(), wall_clock_ns());
    }

    pub(crate) fn read(&self, events: u64) {
        self.read_events.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn enrich_missed(&self, misses: Misses) {
        let [private, public] = &self.missed_ends;
        private.fetch_add(misses.private, Ordering::Relaxed);
        public.fetch_add(misses.public, Ordering::Relaxed);
    }

    pub(crate) fn published(&self, flows: u64, closing_reports: u64) {
        self.seen_flows.fetch_add(flows, Ordering::Relaxed);
        self.closing_reports
            .fetch_add(closing_reports, Ordering::Relaxed);
    }

    /// The file of metrics changed, and is in use or cannot be used.
    pub(crate) fn metrics_config(&self, is_taken: bool) {
        let count = match is_taken {
            true => &self.metrics_configs_taken,
            false => &self.metrics_configs_refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Changed files of metrics that came into use, and those that could not.
    pub(crate) fn metrics_configs(&self) -> (u64, u64) {
        (
            self.metrics_configs_taken.load(Ordering::Relaxed),
            self.metrics_configs_refused.load(Ordering::Relaxed),
        )
    }

    /// How often the kernel told of records that it could not hand over.
    pub(crate) fn loss_reports(&self) -> u64 {
        self.loss_reports.load(Ordering::Relaxed)
    }

    pub(crate) fn lost(&self, cpu: u32, count: u64) {
        self.loss_reports.fetch_add(1, Ordering::Relaxed);
        let mut lost = lock(&self.lost);
        let sum = lost.entry(cpu).or_default();
        // Exported events of loss may claim any number.
        *sum = sum.saturating_add(count);
    }

    /// A drop in the namespace of another node, or in one that was gone before anybody looked.
    pub(crate) fn other_node(&self) {
        self.other_node.fetch_add(1, Ordering::Relaxed);
    }

    /// A freed packet that had been received after all.
    pub(crate) fn received_copy(&self) {
        self.received_copies.fetch_add(1, Ordering::Relaxed);
    }

    /// A remark about something that is not lost, as a packet whose own bytes do not add up.
    pub(crate) fn note(&self, what: &'static str, kind: &'static str) {
        *lock(&self.noted).entry((what, kind)).or_default() += 1;
    }

    /// The names of an address were forgotten for a bound, while they held.
    pub(crate) fn forgot_names(&self, bound: &'static str) {
        *lock(&self.forgotten_names).entry(bound).or_default() += 1;
    }

    /// A socket's event in a namespace of another node, or in one that was gone before anybody
    /// looked.
    pub(crate) fn socket_elsewhere(&self) {
        self.sockets_elsewhere.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets of labels that came to the identity of another, in full.
    pub(crate) fn set_identity_collisions(&self, count: u64) {
        self.identity_collisions.store(count, Ordering::Relaxed);
    }

    /// Somebody who was asked who is who did not answer as hoped: about what, and why.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn provider_error(&self, about: &'static str, kind: &'static str) {
        *lock(&self.provider_errors)
            .entry((about, kind))
            .or_default() += 1;
    }

    /// Changes of the directory that were too many at once to be told one by one.
    pub(crate) fn agent_events_left_out(&self, count: u64) {
        self.agent_events_left_out
            .fetch_add(count, Ordering::Relaxed);
    }

    /// A changed inventory is in use.
    pub(crate) fn inventory_taken(&self) {
        self.inventories_taken.fetch_add(1, Ordering::Relaxed);
    }

    /// A changed inventory is broken, or gone; the one before holds.
    pub(crate) fn inventory_refused(&self) {
        self.inventories_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn undecodable(&self, reason: &'static str) {
        *lock(&self.undecodable).entry(reason).or_default() += 1;
    }
}

fn wall_clock_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_listed_once_and_losses_say_that_they_are() {
        let counters = Counters::default();
        counters.published(5, 1);
        counters.lost(1, 3);
        counters.undecodable("short_packet");
        counters.undecodable("short_packet");
        counters.set_source(vec![StageCount {
            stage: Stage::Kernel,
            what: "not_a_drop",
            kind: String::new(),
            count: 9,
            is_loss: false,
        }]);
        let listed: Vec<_> = counters
            .stages()
            .into_iter()
            .map(|it| (it.stage.name(), it.what, it.kind, it.count, it.is_loss))
            .collect();
        let row = |stage, what, kind: &str, count, is_loss| {
            (stage, what, kind.to_owned(), count, is_loss)
        };
        assert_eq!(
            listed,
            [
                row("kernel", "not_a_drop", "", 9, false),
                row("kernel", "lost", "cpu1", 3, true),
                row("decode", "undecodable", "short_packet", 2, true),
                row("ring", "flows", "", 5, false),
                row("ring", "closing_reports", "", 1, false),
            ]
        );
    }
}

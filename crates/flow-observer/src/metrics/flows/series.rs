//! A metric and its series: values by those of its labels.
//!
//! One thread counts, without a lock; scrapes read a list that it shares with them, which is locked
//! while a series comes or goes, and while a scrape copies a few of them.

mod list;
mod values;

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::HashSet;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, TypedMetric},
};

use self::{
    list::{List, Part},
    values::END,
};
use super::{context::full_name, escaped::Escaped};

pub(crate) use self::values::Values;

/// The value of all labels of the series for what is beyond a budget.
const OTHER: &str = "other";

/// Takes fingerprints as the hashes that they are.
#[derive(Clone, Copy, Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}

/// The values in a key.
fn texts(key: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    parts(key).map(String::from_utf8_lossy)
}

/// The same as they are.
pub(super) fn parts(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.split_inclusive(|&byte| byte == END)
        .map(|value| &value[..value.len() - 1])
}

/// Whether all values are that of the series for the rest.
fn is_other(key: &[u8]) -> bool {
    parts(key).all(|value| value == OTHER.as_bytes())
}

/// What a metric is called, and what its labels are.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    /// Without the `_total` of a counter.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) labels: Arc<[&'static str]>,
}

/// A metric as the thread that counts has it.
#[derive(Debug)]
pub(crate) struct Family<M> {
    /// By fingerprint, with their places in the list.
    known: HashMap<u128, (usize, M), BuildHasherDefault<AsIs>>,
    /// Of what is beyond the budget.
    other: Option<M>,
    make: fn() -> M,
    budget: usize,
    shared: Arc<Shared<M>>,
}

/// A metric as scrapes have it.
#[derive(Debug)]
pub(crate) struct Shared<M> {
    description: Description,
    series: Mutex<List<M>>,
    /// How often something had no series of its own.
    beyond_budget: AtomicU64,
}

impl<M: Clone> Family<M> {
    /// Without series; at most `budget`, and one for the rest.
    pub(crate) fn new(description: Description, budget: usize, make: fn() -> M) -> Self {
        let shared = Shared {
            description,
            series: Mutex::default(),
            beyond_budget: AtomicU64::new(0),
        };
        Self {
            known: HashMap::default(),
            other: None,
            make,
            budget,
            shared: Arc::new(shared),
        }
    }

    /// What scrapes read.
    pub(crate) fn shared(&self) -> Arc<Shared<M>> {
        Arc::clone(&self.shared)
    }

    /// Changes the series with these values.
    pub(crate) fn update(&mut self, values: &Values, change: impl FnOnce(&M)) {
        let fingerprint = values.fingerprint();
        if let Some((_, metric)) = self.known.get(&fingerprint) {
            return change(metric);
        }
        if self.known.len() < self.budget {
            let key = values.key();
            // What is called as the rest is counted with it.
            if let Some(other) = self.other.as_ref().filter(|_| is_other(&key)) {
                return change(other);
            }
            let metric = (self.make)();
            change(&metric);
            let place = lock(&self.shared.series).insert(key, metric.clone());
            self.known.insert(fingerprint, (place, metric));
            return;
        }
        self.shared.beyond_budget.fetch_add(1, Ordering::Relaxed);
        let (shared, make) = (&self.shared, self.make);
        change(self.other.get_or_insert_with(|| {
            let mut series = lock(&shared.series);
            if let Some((_, same)) = series.iter().find(|(key, _)| is_other(key)) {
                return same.clone();
            }
            let metric = make();
            let mut other = Values::default();
            for _ in shared.description.labels.iter() {
                other.push(OTHER);
            }
            series.insert(other.key(), metric.clone());
            metric
        }));
    }

    /// Removes the series of pods with these names. `labels` are those that tell it: the full name, or
    /// the namespace and the rest of it.
    pub(crate) fn remove_pods(&mut self, labels: &[&str], names: &HashSet<String>) {
        let all = &self.shared.description.labels;
        let places: Option<Vec<_>> = labels
            .iter()
            .map(|label| all.iter().position(|it| it == label))
            .collect();
        let Some(places) = places else { return };
        let is_gone = |key: &[u8]| {
            let value = |place: &usize| texts(key).nth(*place).unwrap_or_default();
            match places.as_slice() {
                [place] => names.contains(&*value(place)),
                [namespace, pod] => names.contains(&full_name(&value(namespace), &value(pod))),
                _ => false,
            }
        };
        let mut shared = lock(&self.shared.series);
        self.known.retain(|_, (place, _)| {
            let is_gone = shared.key(*place).is_some_and(&is_gone);
            if is_gone {
                shared.remove(*place);
            }
            !is_gone
        });
    }
}

/// A metric of any type, as scrapes and plans have it.
pub(crate) trait Page: fmt::Debug + Send + Sync {
    /// Writes all series.
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result;
    /// What it is.
    fn description(&self) -> &Description;
    /// Its name as samples have it.
    fn full_name(&self) -> String;
    /// How many series it has.
    fn series(&self) -> usize;
    /// The values of the labels of each.
    fn keys(&self) -> Vec<Arc<[u8]>>;
    /// What each of them is.
    fn kind(&self) -> MetricType;
    /// How often something had no series of its own.
    fn beyond_budget(&self) -> u64;
}

impl<M> Page for Shared<M>
where
    M: Clone + EncodeMetric + TypedMetric + fmt::Debug + Send + Sync,
{
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Description { name, help, labels } = &self.description;
        // As with Go's programs, a metric is there from when it has a series.
        if self.series() == 0 {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(name, help, None, M::TYPE)?;
        let mut part = Part::begin(&lock(&self.series));
        while part.copy(&lock(&self.series)) {
            let mut pairs = Vec::with_capacity(labels.len());
            for (key, metric) in &part.copied {
                pairs.clear();
                pairs.extend(labels.iter().copied().zip(texts(key).map(Escaped)));
                metric.encode(family.encode_family(&pairs.as_slice())?)?;
            }
        }
        Ok(())
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn full_name(&self) -> String {
        let is_counter = matches!(M::TYPE, MetricType::Counter);
        let suffix = if is_counter { "_total" } else { "" };
        format!("{}{suffix}", self.description.name)
    }

    fn series(&self) -> usize {
        lock(&self.series).len()
    }

    fn keys(&self) -> Vec<Arc<[u8]>> {
        let series = lock(&self.series);
        series.iter().map(|(key, _)| Arc::clone(key)).collect()
    }

    fn kind(&self) -> MetricType {
        M::TYPE
    }

    fn beyond_budget(&self) -> u64 {
        self.beyond_budget.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use prometheus_client::{
        collector::Collector, encoding::text, metrics::counter::Counter, registry::Registry,
    };

    use super::*;

    #[derive(Debug)]
    struct Pages(Arc<Shared<Counter>>);

    impl Collector for Pages {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            self.0.encode(&mut encoder)
        }
    }

    fn family(budget: usize) -> Family<Counter> {
        let description = Description {
            name: "hubble_drop",
            help: "Number of drops",
            labels: ["reason", "source"].into(),
        };
        Family::new(description, budget, Counter::default)
    }

    fn count(family: &mut Family<Counter>, values: [&str; 2]) {
        let mut key = Values::default();
        values.iter().for_each(|value| key.push(value));
        family.update(&key, |it| {
            it.inc();
        });
    }

    fn lines(family: &Family<Counter>) -> Vec<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Pages(family.shared())));
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let mut lines: Vec<_> = samples.map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn each_combination_of_values_is_counted_for_itself() {
        let mut family = family(10);
        count(&mut family, ["A", "x"]);
        count(&mut family, ["A", "x"]);
        count(&mut family, ["A", ""]);
        count(&mut family, ["", "A"]);
        assert_eq!(
            lines(&family),
            [
                r#"hubble_drop_total{reason="",source="A"} 1"#,
                r#"hubble_drop_total{reason="A",source=""} 1"#,
                r#"hubble_drop_total{reason="A",source="x"} 2"#,
            ]
        );
    }

    #[test]
    fn no_value_ends_before_its_end() {
        let mut family = family(10);
        count(&mut family, ["a\"} 7\nb", "\\ä\\"]);
        assert_eq!(
            lines(&family),
            [r#"hubble_drop_total{reason="a\"} 7\nb",source="\\ä\\"} 1"#]
        );
    }

    #[test]
    fn what_is_beyond_the_budget_is_counted_together() {
        let mut family = family(2);
        for pod in ["a", "b", "c", "d", "a"] {
            count(&mut family, ["A", pod]);
        }
        assert_eq!(
            lines(&family),
            [
                r#"hubble_drop_total{reason="A",source="a"} 2"#,
                r#"hubble_drop_total{reason="A",source="b"} 1"#,
                r#"hubble_drop_total{reason="other",source="other"} 2"#,
            ]
        );
        assert_eq!(family.shared().beyond_budget(), 2);
        assert_eq!(family.shared().keys().len(), 3);
    }

    #[test]
    fn the_series_of_a_pod_are_removed_and_make_place() {
        let mut family = family(2);
        count(&mut family, ["A", "shop/web"]);
        count(&mut family, ["B", "shop/db"]);
        let names: HashSet<_> = ["shop/web".to_owned(), "x".to_owned()]
            .into_iter()
            .collect();
        family.remove_pods(&["no such label"], &names);
        family.remove_pods(&["source"], &names);
        count(&mut family, ["shop", "web"]);
        count(&mut family, ["", "x"]);
        assert_eq!(
            lines(&family),
            [
                r#"hubble_drop_total{reason="B",source="shop/db"} 1"#,
                r#"hubble_drop_total{reason="other",source="other"} 1"#,
                r#"hubble_drop_total{reason="shop",source="web"} 1"#,
            ]
        );
        family.remove_pods(&["reason", "source"], &names);
        assert_eq!(lines(&family).len(), 2);
    }
}

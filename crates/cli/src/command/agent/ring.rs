//! How much the flow ring keeps: what was typed.

use std::time::Duration;

use anyhow::{Context as _, bail};
use flow_observer::{
    agent::{DEFAULT_RING_CAPACITY, MAX_RING_CAPACITY},
    ring::Limits,
};

use crate::command::duration;

/// Fewest bytes of a ring: some thousand flows.
const MIN_MEMORY: u64 = 1 << 20;
/// Most bytes of a ring.
const MAX_MEMORY: u64 = 1 << 40;

/// Units of memory; those that end alike are after each other, the longer first.
const UNITS: [(&str, u64); 6] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
];

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// How many flows to keep in memory, at most [default: 4095, or as many as fit into
    /// --ring-memory]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=MAX_RING_CAPACITY as u64)
    )]
    ring_capacity: Option<u64>,

    /// How much memory flows and their encoded forms may take, as in 64MiB; from 1MiB. With
    /// --ring-capacity, too, the oldest flows go when either is reached
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    ring_memory: Option<u64>,

    /// How long losses of a client that reads too slowly are gathered before it is told of them
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    lost_event_send_interval: Duration,
}

impl Args {
    pub(super) fn limits(&self) -> anyhow::Result<Limits> {
        let events = self.ring_capacity.map(usize::try_from).transpose()?;
        Ok(match (events, self.ring_memory) {
            (None, Some(bytes)) => Limits::of_bytes(bytes),
            (events, bytes) => Limits {
                events: events.unwrap_or(DEFAULT_RING_CAPACITY),
                bytes,
            },
        })
    }

    pub(super) fn lost_event_interval(&self) -> Duration {
        self.lost_event_send_interval
    }
}

/// Bytes: a number with or without a unit.
fn memory(text: &str) -> anyhow::Result<u64> {
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)))
        .unwrap_or((text, 1));
    let number: u64 = number
        .parse()
        .ok()
        .context("expected bytes with one of the units k, M, G, KiB, MiB, GiB, as in 64MiB")?;
    let bytes = number.saturating_mul(unit);
    if !(MIN_MEMORY..=MAX_MEMORY).contains(&bytes) {
        bail!("expected 1MiB to 1024GiB");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn limits_of(line: &[&str]) -> Result<Limits, String> {
        let command = Args::augment_args(clap::Command::new("agent").no_binary_name(true));
        let matches = command
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        Ok(Args::from_arg_matches(&matches).unwrap().limits().unwrap())
    }

    #[test]
    fn hubbles_default_holds_unless_something_else_is_said() {
        assert_eq!(limits_of(&[]).unwrap(), Limits::default());
        assert_eq!(Limits::default().events, 4095);
    }

    #[test]
    fn any_number_of_flows_will_do() {
        for events in [1, 4_095, 65_535, 65_536, 100_000] {
            let limits = limits_of(&["--ring-capacity", &events.to_string()]).unwrap();
            assert_eq!((limits.events, limits.bytes), (events, None));
        }
        for refused in ["0", "16777216", "many"] {
            assert!(limits_of(&["--ring-capacity", refused]).is_err());
        }
    }

    #[test]
    fn memory_alone_allows_as_many_flows_as_fit() {
        let limits = limits_of(&["--ring-memory", "64MiB"]).unwrap();
        assert_eq!(limits, Limits::of_bytes(64 << 20));
        assert!((100_000..1_000_000).contains(&limits.events), "{limits:?}");
    }

    #[test]
    fn with_both_each_is_a_limit() {
        let both = limits_of(&["--ring-memory", "2M", "--ring-capacity", "7"]).unwrap();
        assert_eq!((both.events, both.bytes), (7, Some(2_000_000)));
    }

    #[test]
    fn memory_is_bytes_or_has_a_unit() {
        assert_eq!(memory("2000000").unwrap(), 2_000_000);
        assert_eq!(memory("2000k").unwrap(), 2_000_000);
        assert_eq!(memory("1024KiB").unwrap(), 1 << 20);
        assert_eq!(memory("3G").unwrap(), 3_000_000_000);
        assert_eq!(memory("3GiB").unwrap(), 3 << 30);
        for unit in ["", "64MB", "64 MiB", "-1M", "MiB", "1.5G", "64m"] {
            let error = memory(unit).unwrap_err().to_string();
            assert!(error.contains("KiB, MiB, GiB"), "{unit}: {error}");
        }
        for size in ["5", "1023KiB", "1025GiB", "18446744073709551615G"] {
            let error = memory(size).unwrap_err().to_string();
            assert_eq!(error, "expected 1MiB to 1024GiB", "{size}");
        }
    }
}

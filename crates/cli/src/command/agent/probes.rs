//! How the probes are to work: what was typed.

use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum as _;
use flow_observer::source::probes::{
    ALL_TCP_FLAGS, Aggregation, DEFAULT_CONNTRACK_QUEUE_BYTES, DEFAULT_FLOW_TABLE_ENTRIES,
    ProbeConfig,
};

use crate::command::duration;

/// Flags by name, with their bits in the TCP header.
const TCP_FLAGS: [(&str, u8); 8] = [
    ("fin", 0x01),
    ("syn", 0x02),
    ("rst", 0x04),
    ("psh", 0x08),
    ("ack", 0x10),
    ("urg", 0x20),
    ("ece", 0x40),
    ("cwr", 0x80),
];

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Probes")]
#[group(skip)]
pub(super) struct Args {
    /// Which packets are reported: `none` aggregates nothing and reports each packet at each trace
    /// point; `low` each packet once, where it leaves; `medium` the first of a connection's
    /// direction, those with new TCP flags, and one per interval; `maximum` leaves out the interval.
    /// Packets and bytes that are not reported are counted. Drops are always reported
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Medium)]
    aggregation: Level,

    /// How often a connection that goes on is reported
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    aggregation_interval: Duration,

    /// TCP flags that are reported when they are new: `all`, or names with commas between
    #[arg(long, value_name = "FLAGS", default_value = "all", value_parser = tcp_flags)]
    aggregation_flags: u8,

    /// How many connections the kernel remembers, 256 bytes each; further ones are reported
    /// packet by packet
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_FLOW_TABLE_ENTRIES,
        value_parser = clap::value_parser!(u32).range(1..=16_777_216)
    )]
    flow_table_size: u32,

    /// Bytes to capture of packets that begin a DNS, HTTP/1, TLS or QUIC exchange; 0 reads no
    /// payload
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1600,
        value_parser = clap::value_parser!(u32).range(0..=1600)
    )]
    payload_bytes: u32,

    /// Report at most so many drops a second of each reason, and count the others; 0 reports all
    #[arg(long, value_name = "N", default_value_t = 0)]
    drop_rate_limit: u32,

    /// Do without an optional part; may be repeated. Status tells which are on
    #[arg(long, value_enum, value_name = "PART")]
    without: Vec<Part>,

    /// Watch the loopback device, too
    #[arg(long)]
    watch_loopback: bool,

    /// Attach as on kernels before 6.6
    #[arg(long, hide = true)]
    force_clsact: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Level {
    None,
    Low,
    Medium,
    Maximum,
}

impl From<Level> for Aggregation {
    fn from(level: Level) -> Self {
        match level {
            Level::None => Self::None,
            Level::Low => Self::Low,
            Level::Medium => Self::Medium,
            Level::Maximum => Self::Maximum,
        }
    }
}

/// The level with this name.
///
/// # Errors
/// When there is none.
pub(crate) fn aggregation(name: &str) -> anyhow::Result<Aggregation> {
    match Level::from_str(name, true) {
        Ok(level) => Ok(level.into()),
        Err(_) => bail!("unknown level {name:?}, expected none, low, medium or maximum"),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Part {
    /// Processes behind connections
    Processes,
    /// Services that are translated at the socket
    Translations,
    /// Retransmissions and resets
    Tcp,
    /// Services that are translated in packets, as the host's connection tracking tells
    Conntrack,
}

impl Args {
    pub(super) fn config(&self) -> ProbeConfig {
        let with = |part| !self.without.contains(&part);
        ProbeConfig {
            aggregation: self.aggregation.into(),
            interval: self.aggregation_interval,
            tcp_flags: self.aggregation_flags,
            flow_table_entries: self.flow_table_size,
            payload_bytes: self.payload_bytes,
            drop_rate_limit: self.drop_rate_limit,
            sockets: with(Part::Processes),
            translations: with(Part::Processes) && with(Part::Translations),
            tcp: with(Part::Tcp),
            conntrack: with(Part::Conntrack),
            conntrack_queue_bytes: DEFAULT_CONNTRACK_QUEUE_BYTES,
            watch_loopback: self.watch_loopback,
            run_time: false,
            force_clsact: self.force_clsact,
        }
    }
}

fn tcp_flags(text: &str) -> anyhow::Result<u8> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(ALL_TCP_FLAGS);
    }
    let mut bits = 0;
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let Some((_, bit)) = TCP_FLAGS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        else {
            let known = TCP_FLAGS.map(|(known, _)| known).join(", ");
            bail!("unknown TCP flag {name:?}, expected all, or some of {known}");
        };
        bits |= bit;
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn config_of(line: &[&str]) -> Result<ProbeConfig, String> {
        let command = Args::augment_args(clap::Command::new("agent").no_binary_name(true));
        let matches = command
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        Ok(Args::from_arg_matches(&matches).unwrap().config())
    }

    #[test]
    fn without_flags_the_probes_work_as_they_do_by_themselves() {
        assert_eq!(config_of(&[]).unwrap(), ProbeConfig::default());
    }

    #[test]
    fn flags_are_named_in_any_case() {
        let config = config_of(&["--aggregation-flags", "SYN,fin"]).unwrap();
        assert_eq!(config.tcp_flags, 0x03);
        let error = config_of(&["--aggregation-flags", "sin"]).unwrap_err();
        assert!(error.contains("unknown TCP flag \"sin\""), "{error}");
    }

    #[test]
    fn without_processes_there_are_no_translations() {
        let config = config_of(&["--without", "processes"]).unwrap();
        assert!(!config.sockets && !config.translations && config.tcp);
    }
}

//! How the probes are to work.

use std::time::Duration;

pub use probe_events::Aggregation;
use probe_events::{PAYLOAD_CAPTURE_BYTES, Settings};

/// How the probes are to work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeConfig {
    /// Which packets are reported at the trace points.
    pub aggregation: Aggregation,
    /// A connection that goes on is reported again after so long.
    pub interval: Duration,
    /// TCP flags whose first appearance in a direction is reported, as in the header's fourteenth
    /// byte.
    pub tcp_flags: u8,
    /// Connections that the kernel remembers, 256 bytes each.
    pub flow_table_entries: u32,
    /// Bytes to capture of a packet that holds the beginning of a message (DNS, HTTP/1, TLS,
    /// QUIC), at most 1,600; 0 captures it as any other packet.
    pub payload_bytes: u32,
    /// Drops to report per second and reason; 0 for all of them.
    pub drop_rate_limit: u32,
    /// The optional programs at the sockets: processes.
    pub sockets: bool,
    /// Of these, those that see translated addresses.
    pub translations: bool,
    /// The optional programs in TCP: retransmissions and resets.
    pub tcp: bool,
    /// Hear of the connections whose addresses the host translates.
    pub conntrack: bool,
    /// What news of them may take until they are read.
    pub conntrack_queue_bytes: usize,
    /// Watch the loopback device too.
    pub watch_loopback: bool,
    /// Measure how long each program runs, which costs each run of every program on the host.
    pub run_time: bool,
    /// Attach as on a kernel before 6.6, by filters of a `clsact` discipline: for tests.
    pub force_clsact: bool,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            aggregation: DEFAULT_AGGREGATION,
            interval: DEFAULT_INTERVAL,
            tcp_flags: ALL_TCP_FLAGS,
            flow_table_entries: DEFAULT_FLOW_TABLE_ENTRIES,
            payload_bytes: PAYLOAD_CAPTURE_BYTES as u32,
            drop_rate_limit: 0,
            sockets: true,
            translations: true,
            tcp: true,
            conntrack: true,
            conntrack_queue_bytes: DEFAULT_CONNTRACK_QUEUE_BYTES,
            watch_loopback: false,
            run_time: false,
            force_clsact: false,
        }
    }
}

/// What is reported unless something else is asked for.
pub const DEFAULT_AGGREGATION: Aggregation = Aggregation::Medium;
/// As in Cilium.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// As in Cilium's charts (`monitorFlags: all`).
pub const ALL_TCP_FLAGS: u8 = 0xff;
/// Enough for a busy node at some 16 MiB.
pub const DEFAULT_FLOW_TABLE_ENTRIES: u32 = 65_536;
/// Some five thousand connections, as many as begin in 100 ms on a node with 50,000 a second: the
/// agent looks that often, and mostly every few milliseconds.
pub const DEFAULT_CONNTRACK_QUEUE_BYTES: usize = 4 << 20;

impl ProbeConfig {
    /// The same in the probes' terms.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            interval_ns: u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX),
            aggregation: self.aggregation as u32,
            tcp_flags: u32::from(self.tcp_flags),
            payload_bytes: self.payload_bytes.min(PAYLOAD_CAPTURE_BYTES as u32),
            drops_per_second: self.drop_rate_limit,
        }
    }
}

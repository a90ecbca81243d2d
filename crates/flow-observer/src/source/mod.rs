//! Where events come from.
//!
//! A source hands out raw events as it finds them; what they mean is decided in `decode`. Only
//! sources touch the outside.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

#[cfg(feature = "probes")]
pub mod probes;

/// One event as a source found it, valid until the source is asked again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RawEvent<'a> {
    /// A record of our own probes, in the layout of the crate `probe-events`.
    Record(&'a [u8]),
    /// Records that found the kernel's ring full, counted per CPU where they were lost.
    Lost {
        /// The CPU.
        cpu: u32,
        /// How many.
        count: u64,
    },
}

/// Something that yields events.
pub trait Source: Send {
    /// Waits up to `patience` for events and hands each to `sink`, at most `limit` of them, oldest
    /// first as far as the source can tell. Returns early when there is something.
    ///
    /// # Errors
    /// The source is broken and will not recover; the agent stops.
    fn poll(
        &mut self,
        patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<(), SourceError>;

    /// Nanoseconds to add to the times of this source's events to get wall clock time.
    fn wall_clock_offset_ns(&mut self) -> i64 {
        0
    }

    /// The network namespace of a drop, if it is this node's. Asked once per drop, so answers come
    /// from memory; a namespace that was never seen before may cost a look around.
    fn namespace(&mut self, _netns_cookie: u64) -> Option<Arc<Namespace>> {
        None
    }
}

/// A network namespace of this node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Namespace {
    /// Addresses of its devices.
    pub addresses: Vec<IpAddr>,
    /// The agent's own namespace, not a pod's.
    pub is_own: bool,
}

/// The devices of this host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LocalDevices {
    /// Names by index.
    pub names: HashMap<u32, Arc<str>>,
    /// Addresses of all devices.
    pub addresses: Vec<IpAddr>,
    /// How many of them the probes watch.
    pub watched: usize,
}

/// Why a source ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The kernel would not let us wait for events; seen when the map's descriptor was closed.
    #[error("cannot wait for events of the probes")]
    Wait(#[source] std::io::Error),
}

//! Where events come from.
//!
//! A source hands out raw events as it finds them; what they mean is decided in `decode`. Only
//! sources touch the outside.

use std::{net::IpAddr, sync::Arc, time::Duration};

use flow_api::observer::GetFlowsResponse;
use foldhash::HashMap;

use crate::{
    counters::StageCount,
    decode::Start,
    process::Process,
    translation::{Ends, Translation},
};

pub mod cilium;
mod input;
mod open;
mod pace;
pub mod pcap;
#[cfg(feature = "probes")]
pub mod probes;
pub mod replay;
mod run_times;
mod spec;

pub(crate) use open::open;
pub use open::{Hook, OpenError, Opened};
pub use pace::Pace;
pub use run_times::{RunTime, RunTimes};
pub use spec::{CILIUM_MONITOR_SOCKET, SourceOptions, SourceSpec, UnknownSource};

/// One event as a source found it, valid until the source is asked again.
#[derive(Debug)]
#[non_exhaustive]
pub enum RawEvent<'a> {
    /// A record of our own probes, in the layout of the crate `probe-events`.
    Record(&'a [u8]),
    /// A record of an optional hook, in the layout of the crate `probe-events`.
    Hook(&'a [u8]),
    /// A record of Cilium's datapath or agent, type byte first.
    Cilium {
        /// The CPU that wrote it.
        cpu: u32,
        /// The record; padding may follow.
        bytes: &'a [u8],
    },
    /// A packet of a capture file.
    Packet(CapturedPacket<'a>),
    /// A flow or a loss that somebody else told.
    Response(Box<GetFlowsResponse>),
    /// Records that found the kernel's ring full, counted per CPU where they were lost.
    Lost {
        /// The CPU.
        cpu: u32,
        /// How many.
        count: u64,
    },
    /// Something that the source itself could not read; counted by this reason.
    Skipped(&'static str),
}

/// A packet of a capture file.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPacket<'a> {
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: i64,
    /// The bytes that were kept.
    pub bytes: &'a [u8],
    /// Length of the packet, at least that of `bytes`.
    pub original_len: u32,
    /// The first header of `bytes`.
    pub start: Start,
    /// Where it was captured: number in the file, and name if the file has one.
    pub interface: Option<(u32, &'a Arc<str>)>,
}

/// Whether a source has more to give.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Now or later.
    More,
    /// Everything was handed out.
    Ended,
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
    ) -> Result<Progress, SourceError>;

    /// Nanoseconds to add to the times of this source's events to get wall clock time.
    fn wall_clock_offset_ns(&mut self) -> i64 {
        0
    }

    /// Whether the order and the times of the events are those of a recording, which nobody corrects.
    /// Else they come from several processors at once, which overtake each other by microseconds.
    fn is_recorded(&self) -> bool {
        false
    }

    /// Says that the agent is ending. If there is something left to hand out, polls go on until
    /// they say that everything was.
    fn finish(&mut self) -> Progress {
        Progress::Ended
    }

    /// What the source counted itself since its start. Asked about once a second, and at the end.
    fn counts(&mut self) -> Vec<StageCount> {
        Vec::new()
    }
}

/// What the host knows about the numbers in records.
///
/// Asked once per event, so answers come from memory; something that was never seen before may
/// cost a look around.
pub trait HostFacts: Send {
    /// Whether any process may be known. Asked once per batch; without them, none is asked for.
    fn has_processes(&self) -> bool {
        true
    }

    /// Whether any translated connection may be known; the same.
    fn has_translations(&self) -> bool {
        true
    }

    /// The kernel's name of a drop reason.
    fn drop_reason(&mut self, reason: u32) -> Arc<str> {
        format!("REASON_{reason}").into()
    }

    /// The kernel function at an address.
    fn function(&mut self, _address: u64) -> Option<Arc<str>> {
        None
    }

    /// The network namespace with this cookie, if it is this node's.
    fn namespace(&mut self, _netns_cookie: u64) -> Option<Arc<Namespace>> {
        None
    }

    /// The process that connected or accepted the socket with this cookie, or sends datagrams from
    /// it.
    fn process_of_socket(&mut self, _cookie: u64) -> Option<Arc<Process>> {
        None
    }

    /// The process that bound a port of an IP protocol in the namespace of this node that has this
    /// address.
    fn process_of_listener(
        &mut self,
        _address: IpAddr,
        _protocol: u8,
        _port: u16,
    ) -> Option<Arc<Process>> {
        None
    }

    /// The connection of a packet with these ends, if the host translates it.
    fn translation(
        &mut self,
        _protocol: u8,
        _ends: &Ends,
        _moment: Moment,
    ) -> Option<Arc<Translation>> {
        None
    }

    /// Takes note of what happened. Called before each batch, and at least ten times a second.
    fn refresh(&mut self) {}
}

/// When in the life of its connection a packet was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// It opens the connection: it is worth a look whether something was told of that since.
    First,
    /// It does not.
    Later,
    /// The connection may have ended.
    Over,
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
    /// A file or socket cannot be read any further.
    #[error("cannot read {what}")]
    Read {
        /// What was read.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that was to be a capture file is of another kind.
    #[error("{what} is no capture file: it starts with {start}, expected pcap or pcapng")]
    NotACapture {
        /// The file.
        what: String,
        /// Its first bytes, in hexadecimal.
        start: String,
    },
    /// A capture of something that is not a network of this kind, such as USB or radio frames.
    #[error(
        "cannot read the packets of {what}: link type {number} ({name}), \
         expected Ethernet, raw IP, Linux cooked or loopback"
    )]
    LinkType {
        /// The file.
        what: String,
        /// The link type, as tcpdump.org lists them.
        number: u16,
        /// What it is called.
        name: &'static str,
    },
}

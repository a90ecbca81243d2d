//! Every number that the relay goes by, with the reason for it.

use std::time::Duration;

/// The relay's port, on all addresses; Hubble's too.
pub(crate) const LISTEN_PORT: u16 = 4245;

/// The port of an agent whose address names none, as peer services before Hubble 1.19 announce it.
pub(crate) const AGENT_PORT: u16 = 4244;

/// How long a following query waits for peers that say nothing. Long enough for a node under
/// load, short enough to still look live in a terminal.
pub(crate) const MAX_HOLD: Duration = Duration::from_secs(1);

/// The longest pause between attempts to reach the peer service. Hubble waits 30 s each time; here
/// it is a cap, and mostly a Unix socket on the same machine, so asking often costs nothing.
pub(crate) const RETRY_TIMEOUT: Duration = Duration::from_secs(5);

/// The first pause before a broken connection or stream is tried again: an agent that restarts is
/// back in less than a second.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(200);

/// The longest pause between attempts to reach a peer. An attempt is one packet for a peer that is
/// gone, and a peer that returns is part of the stream again within about this time.
pub(crate) const RETRY_CAP: Duration = Duration::from_secs(2);

/// A peer that takes longer to connect is failed for now.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After this much silence the kernel asks whether a peer still lives, so that one whose link is cut
/// is noticed within half a minute.
pub(crate) const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);

/// How often it asks then.
pub(crate) const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// How often it asks in vain.
pub(crate) const KEEPALIVE_TIMES: u32 = 3;

/// A finite query gives a peer up when it has sent nothing for this long although it was read.
pub(crate) const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// The same for calls with one answer. Half of the 12 s that clients wait for theirs, so that one
/// node that hangs does not take the others' answers with it.
pub(crate) const UNARY_TIMEOUT: Duration = Duration::from_secs(5);

/// Peers that are asked at the same time for one answer. Those that are well answer in milliseconds,
/// so that 5,000 are through in a moment; as many that hang leave room for no others.
pub(crate) const UNARY_AT_ONCE: usize = 1024;

/// Calls with one answer at the same time; more wait for their turn. Each asks all peers.
pub(crate) const MAX_UNARY_CALLS: usize = 64;

/// How often a peer is asked whether it still lives. One that is frozen holds followers up until
/// this has shown it.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(15);

/// The same for all peers together: one question in so long, which takes a hundredth of it.
pub(crate) const PROBE_SHARE: Duration = Duration::from_millis(6);

/// A clock that is off by more is told: flows that are further apart than this should be in order,
/// even where a quiet peer is waited for.
pub(crate) const CLOCK_WARNING: Duration = Duration::from_millis(500);

/// How often a peer without the health service is asked whether it still lives.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The peer list has no end mark: when nothing was announced for this long after a reconnect, it
/// is taken as complete, and peers that it did not name are gone.
pub(crate) const SNAPSHOT_SETTLE: Duration = Duration::from_secs(1);

/// It is taken as complete after this long in any case: a cluster may change all the time.
pub(crate) const SNAPSHOT_LONGEST: Duration = Duration::from_secs(10);

/// How often a file of peers is looked at: a look costs some microseconds, and sees files that are
/// renamed into place, or behind a symbolic link that is turned. A change is read at the second look
/// that finds it the same.
pub(crate) const FILE_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Names in DNS are not asked for more often than this, however short their answers are good for.
pub(crate) const DNS_SHORTEST: Duration = Duration::from_secs(2);

/// Nor less often than this: answers of a day are meant for addresses that never change.
pub(crate) const DNS_LONGEST: Duration = Duration::from_secs(60);

/// How long a watch of the API server lasts. A connection that died in silence is noticed at its
/// end, so that it is shorter than the five minutes of others.
#[cfg(feature = "kubernetes")]
pub(crate) const SLICES_WATCH_SECONDS: u32 = 60;

/// How long the API server may take for an answer.
#[cfg(feature = "kubernetes")]
pub(crate) const SLICES_SILENCE: Duration = Duration::from_secs(15);

/// The longest pause before the API server is asked again.
#[cfg(feature = "kubernetes")]
pub(crate) const SLICES_RETRY_CAP: Duration = Duration::from_secs(15);

/// A peer service that announces more nodes than this is broken: Kubernetes ends at 5,000.
pub(crate) const MAX_PEERS: usize = 16_384;

/// What a peer may send on one stream before it waits for us: about 90 flows, and HTTP/2's own
/// default. A call reads from each of hundreds of peers, so this is memory times hundreds; a peer is
/// asked for more as soon as half of it was taken, which keeps it busy.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for all streams of a connection: those of [`STREAMS_PER_CONNECTION`], and one more.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 4 * STREAM_WINDOW_BYTES;

/// Streams that share one connection to a peer. Streams also share the connection's window, and one
/// that is not read keeps what it was sent: three slow clients leave room for a fourth call. One more
/// would stop everybody.
pub(crate) const STREAMS_PER_CONNECTION: usize = 3;

/// A peer asked again is announced as connected after this long without a refusal. Go servers send
/// no header before the first flow, so a quiet node says nothing at all when it accepts a call.
pub(crate) const ACCEPT_GRACE: Duration = Duration::from_millis(500);

/// Messages go from a reader to the merge as they come: those of one frame of HTTP/2, which is about 22
/// flows, or one message that is larger by itself.
pub(crate) const BATCH_BYTES: usize = 16 * 1024;

/// The bounded read-ahead: what the merge holds of one peer's stream before its reader has to wait.
/// Two batches, one being merged and one ready. With the batch in the reader's hands and the stream's
/// window ([`STREAM_WINDOW_BYTES`]), a call claims at most about 130 KiB per peer, and the connection
/// 32 KiB while it is read. A message that is larger by itself, of up to 4 MiB, comes alone.
pub(crate) const READ_AHEAD_BYTES: usize = 2 * BATCH_BYTES;

/// What a following query holds on top of the read-ahead, shared by its peers: a second of 18,000
/// flows, if one peer is quiet and the others are not. Counted with what it takes to hold them.
pub(crate) const HELD_BYTES: usize = 16 * 1024 * 1024;

/// The hold when [`HELD_BYTES`] is used up: better slightly out of order than slower than the flows
/// come, which would end in lost ones.
pub(crate) const HOLD_WHEN_FULL: Duration = Duration::from_millis(50);

/// Peers of a following call are asked to say how far they are when they have nothing to send: after
/// this time for each peer that there is, so that 25,000 such messages come in a second at most,
/// which is less than a tenth of a core.
pub(crate) const PROGRESS_OF_ONE_PEER: Duration = Duration::from_micros(40);

/// They say it no more often: what is held for 10 ms is held for no one who watches.
pub(crate) const PROGRESS_SHORTEST: Duration = Duration::from_millis(10);

/// Nor more rarely: half of [`MAX_HOLD`], after which nobody waits for it.
pub(crate) const PROGRESS_LONGEST: Duration = Duration::from_millis(500);

/// Credit is counted in pieces of this size.
pub(crate) const CREDIT_UNIT_BYTES: usize = 1024;

/// Reports of a call's readers on their way to the merge. What they hold is bounded by credit; this
/// only bounds how many readers may be waiting to be heard without being parked: some for each peer of
/// a large cluster, since all that are ready speak at once.
pub(crate) const REPORTS: usize = 1024;

/// Equal errors of several peers within this time become one status event.
pub(crate) const ERROR_WINDOW: Duration = Duration::from_secs(10);

/// Different errors that are remembered at the same time; more, and the oldest is sent early.
pub(crate) const ERROR_MESSAGES: usize = 64;

/// Names of unavailable nodes in the answer to `ServerStatus`, as Hubble's.
pub(crate) const UNAVAILABLE_NAMES: usize = 10;

/// A following query ends when its `until` has passed and nothing has come for this long.
pub(crate) const UNTIL_GRACE: Duration = Duration::from_secs(2);

/// A relay that was ready counts as ready for so long without any connected peer: about what it takes
/// to replace the agent of a cluster with one node.
pub(crate) const READY_GRACE: Duration = Duration::from_secs(60);

/// `GetFlows` calls at the same time. Each may claim what [`READ_AHEAD_BYTES`] and [`HELD_BYTES`]
/// say, so the number of calls is what bounds the relay's memory.
pub(crate) const MAX_FLOW_CALLS: usize = 256;

/// Records of the audit log that wait to be written: what comes in a moment, while a disk is slow.
pub(crate) const AUDIT_RECORDS: usize = 1024;

/// The longest request that is written down as it is; all that people type are shorter.
pub(crate) const AUDIT_REQUEST_BYTES: usize = 4096;

/// How long calls may take to end after SIGTERM.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

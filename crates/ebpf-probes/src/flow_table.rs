//! What is known of a packet's connection, what the packet adds to it, and whether it is reported.
//!
//! Counts are exact with any number of CPUs: programs add atomically, and whoever reports takes
//! what is there by exchanging it for 0. See `retire` for how an entry ends.

use aya_ebpf::bindings::BPF_NOEXIST;
use probe_events::{
    Account, Aggregation, Counter, FlowKey, FlowState, Marks, Origin, SEEN_EVERY_NS, TracePoint,
    TraceReason, other_side, side_index,
};

use crate::{
    entry::{self, account, add, is_leaving, marks, take},
    maps::{FLOWS, count},
    opaque,
    payload::{Begun, Hint},
    settings,
    tuple::{Role, Tuple},
    walk::TCP,
};

/// A UDP exchange that was silent for so long has ended: the next packet opens a new one. The
/// kernel's own connection tracking waits as long for a stream of UDP packets.
const DATAGRAM_TIMEOUT_NS: u64 = 120 * 1_000_000_000;

const FIN: u8 = 0x01;
const RST: u8 = 0x04;

/// A packet as the flow table sees it.
pub(crate) struct Passing {
    pub(crate) tuple: Tuple,
    pub(crate) sender_is_a: bool,
    /// Leaves through the device, rather than comes in.
    pub(crate) outgoing: bool,
    pub(crate) now_ns: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Bytes of the application's.
    pub(crate) payload: u32,
    /// Whether the packet can begin a message; such a one is worth a record whatever the table says.
    pub(crate) hint: Hint,
    /// Is never worth a record here.
    pub(crate) must_not_report: bool,
}

/// What the table says of a packet.
pub(crate) struct Verdict {
    pub(crate) reason: TraceReason,
    pub(crate) report: bool,
    /// What the packet begins.
    pub(crate) begun: Begun,
    /// The packet carries what an earlier one awaits.
    pub(crate) is_awaited: bool,
    pub(crate) counts: Counts,
    /// The marks of the packet's side. The point is set there by [`Self::at`].
    marks: Option<*mut Marks>,
    /// The side has a point, from an earlier packet.
    has_point: bool,
    /// Where the counts were taken from, so that they can be given back.
    taken_from: Option<(*mut FlowState, usize)>,
}

/// Counts that a record carries away.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) other_packets: u64,
    pub(crate) other_bytes: u64,
}

impl Verdict {
    /// A packet that the table knows nothing of.
    #[inline(always)]
    pub(crate) fn alone(reason: TraceReason, passing: &Passing) -> Self {
        Self {
            reason,
            report: !passing.must_not_report,
            begun: Begun::NOTHING,
            is_awaited: false,
            counts: Counts {
                packets: passing.packets,
                bytes: passing.bytes,
                other_packets: 0,
                other_bytes: 0,
            },
            marks: None,
            has_point: true,
            taken_from: None,
        }
    }

    /// Whether it takes to know where the packet is: for a record, or for the table, where a later
    /// packet of the same side is at the same point.
    #[inline(always)]
    pub(crate) fn needs_point(&self) -> bool {
        self.report || !self.has_point
    }

    /// Says where the packet is.
    #[inline(always)]
    pub(crate) fn at(&self, point: TracePoint) {
        if let Some(marks) = self.marks {
            // SAFETY: the entry outlives this program, see `retire`.
            unsafe { (*marks).point = point as u8 + 1 };
        }
    }

    /// The record did not get into the ring: the next one shall carry its counts.
    #[inline(always)]
    pub(crate) fn give_back(&self) {
        if let Some((state, index)) = self.taken_from {
            // SAFETY: the entry outlives this program, see `retire`.
            unsafe {
                let (own, other) = (account(state, index), account(state, other_side(index)));
                add(own, self.counts.packets, self.counts.bytes);
                add(other, self.counts.other_packets, self.counts.other_bytes);
            }
        }
    }
}

/// Looks the connection up, remembers this packet, and says how the packet relates to it. `look`
/// says what the packet's bytes begin; it is asked only where that cannot be told without.
#[inline(always)]
pub(crate) fn observe(key: &FlowKey, passing: &Passing, look: impl FnOnce() -> Begun) -> Verdict {
    let role = passing.tuple.role;
    if role == Role::Related {
        return Verdict::alone(TraceReason::Related, passing);
    }
    let this_end = end(passing.sender_is_a);
    let is_tcp = key.protocol == TCP;
    let known = FLOWS.get_ptr_mut(key);
    let entry = known.or_else(|| insert(key));
    let reason = match entry {
        Some(state) => relate(state, known.is_some(), is_tcp, this_end, passing),
        None => match role {
            Role::Opens | Role::OpensIfNew => TraceReason::New,
            Role::Answers => TraceReason::Reply,
            _ => TraceReason::Unknown,
        },
    };
    let index = side_index(passing.outgoing, !passing.sender_is_a);
    let tcp = if is_tcp { entry } else { None };
    // SAFETY: a live entry of the map; concurrent programs only change whole words.
    let begun = unsafe { opaque::begun(tcp, index, passing.hint, passing.tuple.tcp_flags, look) };
    let Some(state) = entry else {
        count(Counter::FlowTableFull);
        return Verdict {
            begun,
            ..Verdict::alone(reason, passing)
        };
    };

    // SAFETY: as above.
    let (marks, account) = unsafe { (marks(state, index), account(state, index)) };
    // SAFETY: as above.
    let has_point = unsafe { (*marks).point } != 0;
    // SAFETY: as above.
    let new_flags = unsafe {
        let seen = (*marks).tcp_flags;
        let new = passing.tuple.tcp_flags & !seen;
        if new != 0 {
            (*marks).tcp_flags = seen | new;
        }
        new
    };
    // SAFETY: as above.
    let is_awaited = unsafe { is_awaited(account, passing, begun.awaits) };
    let aggregation = settings::aggregation();
    // SAFETY: as above.
    if unsafe { is_leaving(state) } || aggregation == Aggregation::None as u32 {
        return Verdict {
            marks: Some(marks),
            has_point,
            begun,
            is_awaited,
            ..Verdict::alone(reason, passing)
        };
    }

    // SAFETY: as above.
    let reported_ns = unsafe { (*account).reported_ns };
    let is_due = aggregation == Aggregation::Low as u32
        || reported_ns == 0
        || u32::from(new_flags) & settings::tcp_flags() != 0
        || begun.is_message
        || is_awaited
        || (aggregation == Aggregation::Medium as u32
            && passing.now_ns.wrapping_sub(reported_ns) >= settings::interval_ns());
    if !is_due || passing.must_not_report {
        // SAFETY: as above.
        unsafe { add(account, passing.packets, passing.bytes) };
        count(Counter::Aggregated);
        return Verdict {
            report: false,
            marks: Some(marks),
            has_point,
            ..Verdict::alone(reason, passing)
        };
    }
    // SAFETY: as above. Two CPUs may both find that a report is due; they share the counts.
    let counts = unsafe {
        (*account).reported_ns = passing.now_ns;
        let (packets, bytes) = take(account);
        let (other_packets, other_bytes) = take(entry::account(state, other_side(index)));
        Counts {
            packets: packets + passing.packets,
            bytes: bytes + passing.bytes,
            other_packets,
            other_bytes,
        }
    };
    Verdict {
        reason,
        report: true,
        begun,
        is_awaited,
        counts,
        marks: Some(marks),
        has_point,
        taken_from: Some((state, index)),
    }
}

/// How the packet relates to who opened the connection, and who that is from now on.
#[inline(always)]
fn relate(
    state: *mut FlowState,
    was_known: bool,
    is_tcp: bool,
    this_end: u32,
    passing: &Passing,
) -> TraceReason {
    let other_end = if this_end == Origin::A as u32 {
        Origin::B as u32
    } else {
        Origin::A as u32
    };
    // SAFETY: a live entry of the map; a concurrent update only changes whole words.
    let (known_origin, last_seen_ns) = unsafe { ((*state).origin, (*state).last_seen_ns) };
    let silent_ns = passing.now_ns.wrapping_sub(last_seen_ns);
    let (origin, first) = match passing.tuple.role {
        // A second SYN of the same end is the same attempt, and still its beginning.
        Role::Opens => (this_end, is_tcp || known_origin != this_end),
        Role::Answers => (other_end, false),
        // A CPU clock may be behind the one that wrote the time: no silence then.
        Role::OpensIfNew
            if !was_known
                || known_origin == Origin::Unknown as u32
                || (silent_ns > DATAGRAM_TIMEOUT_NS && silent_ns < u64::MAX / 2) =>
        {
            (this_end, true)
        }
        _ => (known_origin, false),
    };
    // SAFETY: as above. Two CPUs that race write the same origin, or one after the other.
    unsafe {
        // Also where a CPU's clock is behind: that is rare, and late by as little.
        if silent_ns >= SEEN_EVERY_NS {
            (*state).last_seen_ns = passing.now_ns;
        }
        if origin != known_origin {
            (*state).origin = origin;
        }
        if first && was_known {
            begin_anew(state, is_tcp);
        }
    }
    if first {
        TraceReason::New
    } else if origin == this_end {
        TraceReason::Established
    } else if origin == other_end {
        TraceReason::Reply
    } else {
        TraceReason::Unknown
    }
}

/// A connection that takes the place of an ended one is reported from its beginning on, and what it
/// says is looked at. The counts stay: they are the place's.
///
/// # Safety
/// `state` is a live entry.
#[inline(always)]
unsafe fn begin_anew(state: *mut FlowState, is_tcp: bool) {
    // SAFETY: the caller's.
    let FlowState {
        marks, accounts, ..
    } = unsafe { &mut *state };
    let ended = marks.iter().any(|it| it.tcp_flags & (FIN | RST) != 0);
    for marks in marks.iter_mut() {
        marks.plain = 0;
    }
    if is_tcp && !ended {
        return;
    }
    for marks in marks {
        marks.tcp_flags = 0;
    }
    for account in accounts {
        account.awaited = 0;
        account.reported_ns = 0;
    }
}

/// Whether a packet carries what an earlier one of its direction awaits; and what it awaits itself.
/// Two CPUs that race here capture a packet too many or too few.
///
/// # Safety
/// `account` lies in a live entry.
#[inline(always)]
unsafe fn is_awaited(account: *mut Account, passing: &Passing, awaits: u16) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let awaited = (*account).awaited;
        if awaits != 0 {
            (*account).awaited = awaits;
            return false;
        }
        if awaited == 0 || passing.payload == 0 {
            return false;
        }
        (*account).awaited = if passing.payload < u32::from(awaited) {
            awaited - passing.payload as u16
        } else {
            0
        };
        true
    }
}

/// Adds an empty entry; `None` when the table is full.
#[inline(always)]
fn insert(key: &FlowKey) -> Option<*mut FlowState> {
    // SAFETY: plain numbers; 0 is `Origin::Unknown`, and `Phase::Live`.
    const EMPTY: FlowState = unsafe { core::mem::zeroed() };
    // Another CPU may have been faster; both then use its entry.
    FLOWS.insert(key, &EMPTY, u64::from(BPF_NOEXIST)).ok();
    FLOWS.get_ptr_mut(key)
}

#[inline(always)]
fn end(is_a: bool) -> u32 {
    if is_a {
        Origin::A as u32
    } else {
        Origin::B as u32
    }
}

//! What is known of a packet's connection, and what the packet adds to it.

use probe_events::{FlowState, Origin, TraceReason};

use crate::{
    maps::FLOWS,
    tuple::{Role, Tuple},
};

/// A UDP exchange that was silent for so long has ended: the next packet opens a new one. The
/// kernel's own connection tracking waits as long for a stream of UDP packets.
const DATAGRAM_TIMEOUT_NS: u64 = 120 * 1_000_000_000;

/// Looks the connection up, remembers this packet, and says how the packet relates to it.
#[inline(always)]
pub(crate) fn observe(tuple: &Tuple, now_ns: u64) -> TraceReason {
    if tuple.role == Role::Related {
        return TraceReason::Related;
    }
    let (this_end, other_end) = if tuple.sender_is_a {
        (Origin::A as u32, Origin::B as u32)
    } else {
        (Origin::B as u32, Origin::A as u32)
    };

    let known = FLOWS.get_ptr_mut(&tuple.key);
    let (origin, first) = match (tuple.role, known) {
        // A second SYN of the same end is the same attempt, and still its beginning.
        (Role::Opens, None) => (this_end, true),
        (Role::Opens, Some(state)) => {
            // SAFETY: a live entry of the map; a concurrent update only changes whole words.
            let origin = unsafe { (*state).origin };
            (this_end, origin != this_end || tuple.is_tcp())
        }
        (Role::Answers, _) => (other_end, false),
        (Role::OpensIfNew, None) => (this_end, true),
        (Role::OpensIfNew, Some(state)) => {
            // SAFETY: as above.
            let state = unsafe { *state };
            if now_ns.wrapping_sub(state.last_seen_ns) > DATAGRAM_TIMEOUT_NS {
                (this_end, true)
            } else {
                (state.origin, false)
            }
        }
        // SAFETY: as above.
        (_, Some(state)) => (unsafe { (*state).origin }, false),
        (_, None) => (Origin::Unknown as u32, false),
    };

    match known {
        Some(state) => {
            // SAFETY: as above. Two CPUs that race write the same origin, or one after the other.
            unsafe {
                (*state).last_seen_ns = now_ns;
                (*state).origin = origin;
            }
        }
        None => {
            let state = FlowState {
                last_seen_ns: now_ns,
                origin,
                reserved: 0,
            };
            // A full table makes room by itself; should the insertion fail all the same, the next
            // packet of the connection tries again.
            let _ = FLOWS.insert(&tuple.key, &state, 0);
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

//! The segment that is only counted, told from all other packets with as little as can be.
//!
//! Nearly all packets of a busy connection are such segments. What comes to a processor between two
//! of them takes the caches away, so that each line of memory counts, of the program as well as of
//! its data. Whatever is not certain here is left to [`trace`](crate::trace), which begins anew: what is
//! changed before all is certain is what comes out the same when it is done twice.

use aya_ebpf::{EbpfContext as _, programs::TcContext};
use probe_events::{Aggregation, Counter, FlowKey, SEEN_EVERY_NS, side_index};

use crate::{
    entry::{account, add, is_leaving, marks},
    maps::{FLOWS, count},
    opaque,
    payload::Hint,
    plain::{self, InPlace},
    settings,
    trace::{Hook, begun, coarse_ns, hint, scope, segments},
    tuple::{self, SYN, Tuple},
    walk::{Headers, TCP},
};

/// Counts the packet in the flow table, if that is all there is to do with it. False where it was not
/// counted.
#[inline(always)]
pub(crate) fn is_counted(ctx: &TcContext, hook: Hook) -> bool {
    let aggregation = settings::aggregation();
    let has_interval = aggregation == Aggregation::Medium as u32;
    if !has_interval && aggregation != Aggregation::Maximum as u32 {
        return false;
    }
    let (mut headers, mut tuple) = (Headers::NONE, Tuple::NONE);
    let packet = InPlace::new(ctx);
    if plain::segment(&packet, hook.starts_at_ip, &mut headers, &mut tuple).is_none() {
        return false;
    }
    let (packet_len, payload, flags) = (ctx.len(), tuple.payload, tuple.tcp_flags);
    let hint = hint(&tuple, TCP, packet_len);
    if flags & SYN != 0 || matches!(hint, Hint::Message) {
        return false;
    }
    // SAFETY: the context is a valid __sk_buff for as long as the program runs.
    let scope = scope(hook, unsafe { (*ctx.skb.skb).ifindex });
    let mut key = FlowKey::default();
    let sender_is_a = tuple::fill_key(&headers, &tuple, hook.place, scope, &mut key);
    let now_ns = coarse_ns();
    let Some(state) = FLOWS.get_ptr_mut(&key) else {
        return false;
    };
    let index = side_index(hook.outgoing, !sender_is_a);
    // SAFETY: a live entry of the map; concurrent programs only change whole words. It outlives this
    // program, see `retire`.
    unsafe {
        let (marks, account) = (marks(state, index), account(state, index));
        let is_expected = !is_leaving(state)
            && flags & !(*marks).tcp_flags == 0
            && (*marks).point != 0
            && (*account).awaited == 0;
        if !is_expected {
            return false;
        }
        let reported_ns = (*account).reported_ns;
        let is_due = reported_ns == 0
            || (has_interval && now_ns.wrapping_sub(reported_ns) >= settings::interval_ns());
        if is_due {
            return false;
        }
        let look = || begun(ctx.as_ptr(), packet_len, payload, TCP);
        if opaque::begun(Some(state), index, hint, flags, look).is_message {
            return false;
        }
        if now_ns.wrapping_sub((*state).last_seen_ns) >= SEEN_EVERY_NS {
            (*state).last_seen_ns = now_ns;
        }
        let (packets, bytes) = segments(ctx, packet_len, payload);
        add(account, packets, bytes);
    }
    count(Counter::Aggregated);
    true
}

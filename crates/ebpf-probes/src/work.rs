//! What a classifier has on its hands: reads a packet into it, and makes the record from it.

use aya_ebpf::{
    EbpfContext as _, helpers::generated::bpf_skb_load_bytes as load_bytes, macros::map,
    maps::PerCpuArray, programs::TcContext,
};
use probe_events::{
    CAPTURE_BYTES, EventHeader, FlowKey, HELLO_CAPTURE_BYTES, Place, TUNNEL_CAPTURE_BYTES,
    TraceDetail,
};

use crate::{
    maps::{EVENTS, Record, bounded, emit, wake},
    plain::{self, InPlace},
    trace::Hook,
    tuple::{self, Tuple},
    walk::{self, Bytes, Headers, read_back},
};

/// Packets up to this length are reported in records of their own size: acknowledgements, handshakes
/// and most questions to DNS. A record that is put together in the ring has one of few lengths.
pub(crate) const SHORT_BYTES: usize = 96;

/// What a program has on its hands: too large for the stack. And the verifier, which follows each
/// value through the stack, does not follow them through a map: ways that come to the same place
/// with different headers are one to it, or it would never come to an end.
#[repr(C)]
pub(crate) struct Work {
    pub(crate) key: FlowKey,
    /// Of the packet that is spoken of: the inner one where there is a tunnel.
    pub(crate) headers: Headers,
    outer: Headers,
    pub(crate) tuple: Tuple,
    pub(crate) known: Known,
    /// Bytes in the record: 0 as long as nothing was copied.
    pub(crate) copied: usize,
    /// So many go into an ordinary record.
    pub(crate) captured: usize,
    record: Record<TraceDetail>,
}

#[map]
pub(crate) static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// How much of a packet could be told.
#[repr(u8)]
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Known {
    /// That it is there.
    Nothing,
    /// Its two ends' addresses.
    Headers,
    /// Which connection it belongs to, or which it speaks about.
    Tuple,
}

impl Work {
    /// Reads a packet. False where that cannot be done.
    #[inline(always)]
    pub(crate) fn read(&mut self, ctx: &TcContext, hook: Hook) -> bool {
        self.read_in_place(ctx, hook) || self.read_copy(ctx, hook)
    }

    /// Reads a plain packet where it lies. False where it is another, of which nothing is said.
    #[inline(always)]
    fn read_in_place(&mut self, ctx: &TcContext, hook: Hook) -> bool {
        let packet = InPlace::new(ctx);
        let Some(mut headers) = plain::plain(&packet, hook.starts_at_ip) else {
            return false;
        };
        let mut tuple = Tuple::NONE;
        if tuple::of(&packet, &headers, &mut tuple).is_none() {
            return false;
        }
        let mut captured = CAPTURE_BYTES;
        if hook.place as u8 == Place::Network as u8
            && plain::is_tunnel(&headers, tuple.destination_port)
        {
            let Some(inner) = plain::plain_inner(&packet, &headers, tuple.destination_port) else {
                return false;
            };
            headers = inner;
            if tuple::of(&packet, &headers, &mut tuple).is_none() {
                return false;
            }
            // Few tunnels' packets have headers that need more than others are given.
            if tuple.payload as usize > CAPTURE_BYTES {
                captured = TUNNEL_CAPTURE_BYTES;
            }
        }
        self.headers = headers;
        self.tuple = tuple;
        self.known = Known::Tuple;
        self.copied = 0;
        self.captured = captured;
        true
    }

    /// Copies a packet, and reads it there. False where it cannot be copied.
    #[inline(always)]
    fn read_copy(&mut self, ctx: &TcContext, hook: Hook) -> bool {
        let copied = copy::<TUNNEL_CAPTURE_BYTES>(ctx, ctx.len(), &mut self.record);
        let Some(copied) = copied else {
            return false;
        };
        self.copied = copied;
        let copied = read_back(&self.copied);
        let bytes = Bytes::new(&self.record.packet, copied);
        self.captured = CAPTURE_BYTES;
        self.known = Known::Nothing;
        self.tuple = Tuple::NONE;
        self.headers = Headers::NONE;
        if walk::outer(&bytes, hook.starts_at_ip, &mut self.headers).is_none() {
            return true;
        }
        if hook.place as u8 == Place::Network as u8 {
            self.outer = self.headers;
            self.headers = Headers::NONE;
            if walk::inner(&bytes, &self.outer, &mut self.headers).is_some() {
                self.captured = TUNNEL_CAPTURE_BYTES;
            } else {
                self.headers = self.outer;
            }
        }
        self.known = match tuple::of(&bytes, &self.headers, &mut self.tuple) {
            Some(()) => Known::Tuple,
            None => Known::Headers,
        };
        true
    }

    /// Puts together a record of a packet that was copied, or of which more is wanted than of others.
    /// False when it did not get into the ring.
    #[inline(always)]
    pub(crate) fn emit_copy(
        &mut self,
        ctx: &TcContext,
        wanted: u32,
        header: EventHeader,
        detail: TraceDetail,
    ) -> bool {
        let copied = read_back(&self.copied);
        let usual = read_back(&self.captured);
        let wanted = wanted.max(usual as u32).min(header.packet_len);
        let mut captured = copied.min(usual);
        if wanted as usize > copied {
            let Some(more) = copy::<HELLO_CAPTURE_BYTES>(ctx, wanted, &mut self.record) else {
                return false;
            };
            captured = more;
        }
        self.record.header = header;
        self.record.header.captured_len = captured as u16;
        self.record.detail = detail;
        emit(&self.record, captured)
    }
}

/// Puts together a record in the ring, with at most `BYTES` of the packet. False when it is full.
#[inline(always)]
pub(crate) fn emit_in_place<const BYTES: usize>(
    ctx: &TcContext,
    header: EventHeader,
    detail: TraceDetail,
) -> bool {
    let Some(length) = bounded::<BYTES>(u64::from(header.packet_len)) else {
        return false;
    };
    let Some(mut entry) = EVENTS.reserve::<Record<TraceDetail, BYTES>>(0) else {
        return false;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the entry is this program's until it is submitted, and as large as the record. What
    // is left of it after a shorter packet holds what the ring held before; nobody reads it.
    let result = unsafe {
        (*record).header = header;
        (*record).header.captured_len = length as u16;
        (*record).detail = detail;
        let into = (&raw mut (*record).packet).cast();
        load_bytes(ctx.as_ptr().cast(), 0, into, length as u32)
    };
    let wake = wake(header.time_ns);
    if result == 0 {
        entry.submit(wake);
    } else {
        entry.discard(wake);
    }
    result == 0
}

/// Copies the first bytes of the packet, at most `MAX` of `available`; the kernel gathers them
/// where they are scattered.
#[inline(always)]
fn copy<const MAX: usize>(
    ctx: &TcContext,
    available: u32,
    into: &mut Record<TraceDetail>,
) -> Option<usize> {
    const { assert!(MAX <= HELLO_CAPTURE_BYTES) };
    let length = bounded::<MAX>(u64::from(available))?;
    // SAFETY: `length` is between 1 and the size of the buffer, and at most the packet's length.
    let result = unsafe {
        load_bytes(
            ctx.as_ptr().cast(),
            0,
            into.packet.as_mut_ptr().cast(),
            length as u32,
        )
    };
    (result == 0).then_some(length)
}

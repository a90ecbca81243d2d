//! Which directions of a TCP connection are in the middle of something: no message begins there, and
//! their bytes are left alone.
//!
//! The kernel keeps a segment's bytes apart from its headers, in memory that this processor may not
//! have touched yet. To fetch them can cost more than all that a counted packet costs otherwise.

use probe_events::{FlowState, Marks, other_side};

use crate::{
    entry::marks,
    payload::{Begun, Hint},
};

/// After so many packets in a row that begin no message a direction is opaque. What can be read
/// begins earlier, also where a protocol turns to TLS on the way (STARTTLS); a body that goes on for
/// longer is a long one.
const AFTER: u8 = 16;

const PSH: u8 = 0x08;

/// What a packet begins, as its hint says, or else `look`, which looks at its bytes and is asked
/// unless the packet's direction of a TCP connection is opaque. Where a packet begins a message, to ask
/// again gives the same.
///
/// # Safety
/// `tcp` is a live entry, or none for what is no TCP or not in the table.
#[inline(always)]
pub(crate) unsafe fn begun(
    tcp: Option<*mut FlowState>,
    index: usize,
    hint: Hint,
    tcp_flags: u8,
    look: impl FnOnce() -> Begun,
) -> Begun {
    let looks = match hint {
        Hint::None | Hint::Message => false,
        // SAFETY: the caller's.
        Hint::AskBytes => tcp.is_none_or(|state| unsafe { is_readable(state, index) }),
    };
    let begun = match hint {
        Hint::Message => Begun::MESSAGE,
        Hint::AskBytes if looks => look(),
        Hint::None | Hint::AskBytes => Begun::NOTHING,
    };
    if let Some(state) = tcp {
        // SAFETY: the caller's.
        unsafe {
            if looks {
                looked_at(marks(state, index), begun.is_message);
            }
            hand_over(state, index, tcp_flags);
        }
    }
    begun
}

/// Whether to look at the bytes of a packet. Where nothing is seen of the other direction, nobody
/// would say that this one can be read again: it stays readable.
///
/// # Safety
/// `state` is a live entry.
#[inline(always)]
unsafe fn is_readable(state: *mut FlowState, index: usize) -> bool {
    // SAFETY: the caller's.
    unsafe { (*marks(state, index)).plain < AFTER || (*marks(state, other_side(index))).point == 0 }
}

/// Remembers whether a packet that was looked at began a message. Two CPUs that race here look at a
/// packet too many or too few.
///
/// # Safety
/// `marks` lie in a live entry.
#[inline(always)]
unsafe fn looked_at(marks: *mut Marks, began: bool) {
    // SAFETY: the caller's.
    unsafe {
        let plain = (*marks).plain;
        if began {
            (*marks).plain = 0;
        } else if plain < AFTER {
            (*marks).plain = plain + 1;
        }
    }
}

/// An end marks the last segment of what it has to say (PSH). Whatever the other says next may begin
/// with a message, such as the answer to a request. Acknowledgements have no such mark, and padding
/// does not make them look as if.
///
/// # Safety
/// `state` is a live entry.
#[inline(always)]
unsafe fn hand_over(state: *mut FlowState, index: usize, tcp_flags: u8) {
    if tcp_flags & PSH == 0 {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        let other = marks(state, other_side(index));
        // Two CPUs may share the line: written only when that changes something.
        if (*other).plain != 0 {
            (*other).plain = 0;
        }
    }
}

//! What readers had encoded of a part of the ring, for all other readers.
//!
//! Events are encoded in groups of [`GROUP`] that lie beside each other. What a reader wants of a group
//! and nobody had encoded before becomes one piece of memory, in which the responses follow each
//! other as frames. A reader who wants what is in one piece shares it; one who wants less, or what
//! lies in several, gets a copy, and pieces that were copied in full are replaced by their copy. So
//! an event is encoded once, a group that everybody wants is one piece, and nothing is encoded that
//! nobody asked for.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use flow_api::frames::{Frames, put_frame};

use super::{Surroundings, Writer, put_response};
use crate::ring::Slot;

/// Events of a group: about 46 KB of ordinary flows, so that what a piece costs is shared by many,
/// and a reader that waits for another to encode it waits for some tens of microseconds.
pub(crate) const GROUP: usize = 64;

/// An ordinary flow as a frame takes about so many bytes. Memory is taken for a little more at
/// first, and what was too much is given back.
const FRAME_BYTES: usize = 800;

/// The encoded events of a part of the ring.
#[derive(Debug)]
pub(crate) struct EncodedEvents {
    /// How many events there may be.
    capacity: usize,
    /// Made when a reader asks for the first time: most events leave the ring without a reader.
    groups: OnceLock<Box<[Mutex<Group>]>>,
    bytes: AtomicU64,
}

/// The pieces of a group. No event is in two of them.
type Group = Vec<Piece>;

/// Some events of a group.
#[derive(Clone, Debug)]
struct Piece {
    /// Bit N is event N of the group.
    events: u64,
    /// Their responses, in order.
    frames: Bytes,
}

impl EncodedEvents {
    /// For so many events at most.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            groups: OnceLock::new(),
            bytes: AtomicU64::new(0),
        }
    }

    /// The responses to the wanted events of a group (bit N is event N), as frames. `slots` are those
    /// that the reader sees, from event `first` on; all that is wanted is among them.
    pub(crate) fn frames(
        &self,
        group: usize,
        slots: &[Slot],
        first: usize,
        wanted: u64,
        around: &Surroundings<'_>,
    ) -> Bytes {
        let groups = self.groups.get_or_init(|| {
            let groups = self.capacity.div_ceil(GROUP);
            (0..groups).map(|_| Mutex::default()).collect()
        });
        let Some(group) = groups.get(group) else {
            debug_assert!(false, "a group beyond the capacity");
            return Bytes::new();
        };
        // Held while the missing ones are encoded: who else wants them would do the same work.
        let mut group = group.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known(&group);
        if wanted & !known != 0 {
            let piece = Piece::encode(slots, first, wanted & !known, around);
            self.bytes
                .fetch_add(piece.frames.len() as u64, Ordering::Relaxed);
            group.push(piece);
        }
        if let Some(piece) = group.iter().find(|piece| wanted & !piece.events == 0) {
            let piece = piece.clone();
            drop(group);
            return piece.part(wanted);
        }
        let gathered = Piece::gather(&group, wanted);
        if gathered.events == known | wanted {
            *group = vec![gathered.clone()];
        }
        gathered.frames
    }

    /// Whether these events of a group are encoded.
    pub(crate) fn has(&self, group: usize, wanted: u64) -> bool {
        self.groups.get().is_some_and(|groups| {
            groups.get(group).is_some_and(|group| {
                let group = group.lock().unwrap_or_else(PoisonError::into_inner);
                wanted & !known(&group) == 0
            })
        })
    }

    /// Bytes of all that is encoded.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The events that are encoded.
fn known(group: &[Piece]) -> u64 {
    group.iter().fold(0, |known, piece| known | piece.events)
}

impl Piece {
    fn encode(slots: &[Slot], first: usize, events: u64, around: &Surroundings<'_>) -> Self {
        let mut frames = Vec::with_capacity(events.count_ones() as usize * FRAME_BYTES);
        for event in ones(events) {
            let slot = &slots[event - first];
            put_frame(&mut frames, |bytes| {
                put_response(&slot.event, around, &mut Writer::new(bytes));
            });
        }
        frames.shrink_to_fit();
        Self {
            events,
            frames: frames.into(),
        }
    }

    /// The frames of some of the piece's events: shared if they are all, else a copy.
    fn part(self, wanted: u64) -> Bytes {
        if wanted == self.events {
            return self.frames;
        }
        let mut rest = Frames::new(self.frames);
        let mut frames = Vec::new();
        for event in ones(self.events) {
            let frame = rest.next_frame().unwrap_or_default();
            if wanted >> event & 1 != 0 {
                frames.extend_from_slice(&frame);
            }
        }
        frames.into()
    }

    /// The frames of events that lie in several pieces.
    fn gather(group: &[Self], wanted: u64) -> Self {
        let mut frames: [Bytes; GROUP] = std::array::from_fn(|_| Bytes::new());
        for piece in group.iter().filter(|piece| piece.events & wanted != 0) {
            let mut rest = Frames::new(piece.frames.clone());
            for event in ones(piece.events) {
                frames[event] = rest.next_frame().unwrap_or_default();
            }
        }
        let wanted_frames = || ones(wanted).map(|event| &frames[event]);
        let mut gathered = Vec::with_capacity(wanted_frames().map(Bytes::len).sum());
        wanted_frames().for_each(|frame| gathered.extend_from_slice(frame));
        Self {
            events: wanted,
            frames: gathered.into(),
        }
    }
}

/// The numbers of the bits that are set, lowest first.
pub(crate) fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(lowest)
    })
}

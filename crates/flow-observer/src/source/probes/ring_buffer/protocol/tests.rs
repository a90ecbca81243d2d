use std::sync::Arc;

use super::*;

const SIZE: usize = 256;

/// The kernel's end of a ring buffer.
struct Writer {
    consumed: Box<AtomicUsize>,
    produced: Box<AtomicUsize>,
    words: Box<[AtomicU32]>,
}

impl Writer {
    /// As if `position` bytes had come and gone.
    fn starting_at(position: usize) -> Self {
        Self {
            consumed: Box::new(AtomicUsize::new(position)),
            produced: Box::new(AtomicUsize::new(position)),
            // A vector of bytes would not be aligned.
            words: (0..SIZE / 4).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn reader(&self) -> Cursor {
        let area = Area {
            consumed: NonNull::from(&*self.consumed),
            produced: NonNull::from(&*self.produced),
            records: NonNull::from(&*self.words).cast(),
            size: SIZE,
        };
        // SAFETY: all of it lives as long as the writer, which the tests keep longer.
        unsafe { Cursor::new(area) }
    }

    fn told(&self) -> usize {
        self.consumed.load(Ordering::Acquire)
    }

    /// Begins a record whose length the header claims to be `length`; tells where its header is.
    fn begin(&self, length: usize, moves_on: usize) -> usize {
        let position = self.produced.load(Ordering::Relaxed);
        let at = position % SIZE / 4;
        self.words[at].store(length as u32 | BUSY, Ordering::Relaxed);
        self.produced
            .store(position.wrapping_add(moves_on), Ordering::Release);
        at
    }

    fn end(&self, at: usize, flags: u32) {
        let header = self.words[at].load(Ordering::Relaxed);
        self.words[at].swap(header & !BUSY | flags, Ordering::SeqCst);
    }

    fn reserve(&self, bytes: &[u8]) -> usize {
        let at = self.begin(bytes.len(), (HEADER + bytes.len()).next_multiple_of(UNIT));
        for (index, part) in bytes.chunks(4).enumerate() {
            let mut word = [0; 4];
            word[..part.len()].copy_from_slice(part);
            self.words[(at + HEADER / 4 + index) % self.words.len()]
                .store(u32::from_ne_bytes(word), Ordering::Relaxed);
        }
        at
    }

    fn write(&self, bytes: &[u8]) {
        self.end(self.reserve(bytes), 0);
    }

    fn has_room_for(&self, length: usize) -> bool {
        let used = self
            .produced
            .load(Ordering::Relaxed)
            .wrapping_sub(self.told());
        used + (HEADER + length).next_multiple_of(UNIT) <= SIZE
    }
}

#[test]
fn an_empty_ring_has_no_record() {
    let writer = Writer::starting_at(0);
    assert_eq!(writer.reader().next(), None);
}

#[test]
fn a_record_is_whole_wherever_it_begins() {
    // The last ones lie where the positions themselves start anew.
    for start in (0..2 * SIZE).step_by(UNIT).chain([usize::MAX - 63]) {
        for length in [0, 1, 7, 8, 9, 100, SIZE - HEADER] {
            let writer = Writer::starting_at(start);
            let mut reader = writer.reader();
            let bytes: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            writer.write(&bytes);
            assert_eq!(reader.next(), Some(&*bytes), "{length} at {start}");
            assert_eq!(reader.next(), None);
            assert_eq!(writer.told(), writer.produced.load(Ordering::Relaxed));
        }
    }
}

#[test]
fn records_come_in_order_and_discarded_ones_do_not() {
    let writer = Writer::starting_at(SIZE - 16);
    let mut reader = writer.reader();
    writer.write(b"first");
    let discarded = writer.reserve(b"no");
    writer.end(discarded, DISCARDED);
    writer.write(b"second");
    assert_eq!(reader.next(), Some(&b"first"[..]));
    assert_eq!(reader.next(), Some(&b"second"[..]));
    assert_eq!(reader.next(), None);
    assert_eq!(reader.skips, 0);
}

#[test]
fn a_record_that_is_being_written_holds_up_the_ones_behind_it() {
    let writer = Writer::starting_at(0);
    let mut reader = writer.reader();
    let busy = writer.reserve(b"slow");
    writer.write(b"fast");
    assert_eq!(reader.next(), None);
    writer.end(busy, 0);
    assert_eq!(reader.next(), Some(&b"slow"[..]));
    assert_eq!(reader.next(), Some(&b"fast"[..]));
}

#[test]
fn a_record_stays_in_the_ring_until_the_next_is_asked_for() {
    let writer = Writer::starting_at(0);
    let mut reader = writer.reader();
    writer.write(b"one");
    writer.write(b"two");
    assert!(reader.next().is_some());
    assert_eq!(writer.told(), 0);
    assert!(reader.next().is_some());
    assert_eq!(writer.told(), 16);
    assert!(reader.next().is_none());
    assert_eq!(writer.told(), 32);
}

#[test]
fn a_length_that_cannot_be_is_a_skip() {
    let cases = [
        // Claimed, and how far the kernel says it is.
        (SIZE, SIZE),
        (100, 16),
        (0x3fff_ffff, SIZE),
        (SIZE, 2 * SIZE),
        (0, 4),
    ];
    for (length, moves_on) in cases {
        let writer = Writer::starting_at(8);
        let mut reader = writer.reader();
        writer.end(writer.begin(length, moves_on), 0);
        assert_eq!(reader.next(), None, "{length} {moves_on}");
        assert_eq!(reader.skips, 1, "{length} {moves_on}");
        assert_eq!(writer.told(), 8 + moves_on);
    }
}

#[test]
fn what_a_faster_writer_writes_arrives_once_and_in_order() {
    const RECORDS: u32 = if cfg!(miri) { 200 } else { 100_000 };
    let writer = Arc::new(Writer::starting_at(0));
    let mut reader = writer.reader();
    let writing = std::thread::spawn({
        let writer = Arc::clone(&writer);
        move || {
            for number in 0..RECORDS {
                let bytes = number.to_ne_bytes().repeat(1 + number as usize % 5);
                while !writer.has_room_for(bytes.len()) {
                    std::thread::yield_now();
                }
                writer.write(&bytes);
            }
        }
    });
    let mut expected = 0u32;
    while expected < RECORDS {
        let Some(bytes) = reader.next() else {
            std::thread::yield_now();
            continue;
        };
        assert_eq!(bytes.len(), 4 * (1 + expected as usize % 5));
        for part in bytes.chunks(4) {
            assert_eq!(part, expected.to_ne_bytes());
        }
        expected += 1;
    }
    writing.join().unwrap();
    assert_eq!(reader.next(), None);
    assert_eq!(reader.skips, 0);
}

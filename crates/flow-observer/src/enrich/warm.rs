//! Memory for the look-ups of many events, asked for at once.
//!
//! Among a million addresses hardly anything that an event asks for is in the processor's caches, and
//! each look-up goes from one piece of memory to the next: a slot, what it leads to, the counter of
//! what is handed out. One event after the other, all those waits add up. Here each step is done for
//! many events before the next one, so that they wait together; what is asked for afterwards
//! is there. Nothing is remembered and nothing changes: an event that is not warmed up, or turns out to
//! have other ends, is only looked up more slowly.

use std::{hint::black_box, net::IpAddr, sync::Arc};

use super::{NameTable, Snapshot, names, snapshot::Known};
use crate::record::Ip;

/// Events that are warmed up at a time. What their look-ups read, some twenty lines of memory each,
/// stays in the nearest cache until they are made.
pub const WARMED: usize = 32;

/// Addresses whose look-ups the processor's own caches hold by themselves: a few hundred bytes are
/// read for each, and such caches have a megabyte or two, which are needed for other things, too.
const NEAR: usize = 1_024;

/// Whether so much is known that it is not in the nearer caches anyhow.
pub(crate) fn is_worth_warming(snapshot: &Snapshot, names: &NameTable) -> bool {
    snapshot.len() + names.addresses() > NEAR
}

/// Asks for what the look-ups of events will read, given their ends: in the
/// snapshot, and in the names of this node's workloads.
pub fn warm(snapshot: &Snapshot, names: &NameTable, ends: &[Ip]) {
    // What waits for nobody gains nothing.
    if ends.len() < 2 {
        return;
    }
    for ends in ends.chunks(WARMED) {
        warm_some(snapshot, names, ends);
    }
}

fn warm_some(snapshot: &Snapshot, names: &NameTable, ends: &[Ip]) {
    // What is read is of no interest, but must not be left out.
    let mut read = 0;
    let mut hashes = [[0; 2]; WARMED];
    for (ip, hashes) in ends.iter().zip(&mut hashes) {
        *hashes = [ip.source, ip.destination].map(|address| {
            let hash = snapshot.hash(address);
            read += usize::from(snapshot.touch(address, hash));
            hash
        });
    }
    let mut known: [Option<[Known<'_>; 2]>; WARMED] = [None; WARMED];
    for ((ip, hashes), known) in ends.iter().zip(&hashes).zip(&mut known) {
        let mut look_up = |address, hash| {
            let known = snapshot.look_up_hashed(address, hash);
            read += Arc::strong_count(known.endpoint);
            known
        };
        *known = Some([
            look_up(ip.source, hashes[0]),
            look_up(ip.destination, hashes[1]),
        ]);
    }
    let mut asked = Asked::default();
    for (ip, known) in ends.iter().zip(&known) {
        let Some([source, destination]) = known else {
            continue;
        };
        for (asker, of, address) in [
            (source, ip.source, ip.destination),
            (destination, ip.destination, ip.source),
        ] {
            read += asker.names.map_or(0, Arc::strong_count);
            if names::is_of_this_node(asker.endpoint) {
                read += asked.ask(names, of, address);
            }
        }
    }
    let mut guesses = [None; 2 * WARMED];
    for (hash, guess) in asked.hashes.iter().take(asked.len).zip(&mut guesses) {
        *guess = names.guess(*hash);
    }
    for guess in guesses.iter().take(asked.len).flatten() {
        read += guess.touch();
    }
    black_box(read);
}

/// Where names will be looked for.
struct Asked {
    hashes: [u64; 2 * WARMED],
    len: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            hashes: [0; 2 * WARMED],
            len: 0,
        }
    }
}

impl Asked {
    #[inline]
    fn ask(&mut self, names: &NameTable, asker: IpAddr, address: IpAddr) -> usize {
        let hash = names.hash(asker, address);
        if let Some(place) = self.hashes.get_mut(self.len) {
            *place = hash;
            self.len += 1;
        }
        usize::from(names.touch(hash))
    }
}

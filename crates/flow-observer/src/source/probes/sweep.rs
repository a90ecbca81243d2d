//! Taking what is over out of the kernel's flow table.
//!
//! User space decides who leaves; the program `retire` does it, since only a program can take
//! counts without losing any (see there).

use std::{
    io,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use aya::{
    maps::MapData,
    programs::{ProgramError, SchedClassifier, TestRun as _, TestRunOptions},
};
use nix::{
    libc,
    time::{ClockId, clock_gettime},
};
use probe_events::{FlowKey, FlowState, RETIRE_DELETE, RETIRE_KEYS, RETIRE_MARK, RetireHeader};

use super::batch::FlowTableReader;

/// How often the table is looked through.
const EVERY: Duration = Duration::from_secs(1);
/// How long the end waits for the reader to make room in the ring.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The probes see the time this late at most: a tick of the slowest kernel.
const COARSE_NS: u64 = 10_000_000;

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const FIN: u8 = 0x01;
const RST: u8 = 0x04;

/// After this long without a packet an open TCP connection is forgotten. Keepalives come every two
/// hours where they are on, so one that is alive is not.
const TCP_OPEN: Duration = Duration::from_secs(3 * 60 * 60);
/// A TCP connection that one side only has sent to: nobody answers.
const TCP_OPENING: Duration = Duration::from_secs(60);
/// A TCP connection that both sides closed, or one reset: time for what is still on its way.
const TCP_CLOSED: Duration = Duration::from_secs(10);
/// As long as the probes take a silence for the same exchange.
const DATAGRAM: Duration = Duration::from_secs(120);
/// Pings answer at once or never.
const ECHO: Duration = Duration::from_secs(30);

/// Sweeps a flow table.
pub(super) struct Sweeper {
    flows: MapData,
    capacity: usize,
    reader: FlowTableReader,
    swept: Instant,
    /// Entries at the last sweep.
    entries: usize,
}

impl Sweeper {
    pub(super) fn new(flows: MapData, capacity: u32) -> Self {
        Self {
            flows,
            capacity: capacity as usize,
            reader: FlowTableReader::new(),
            swept: Instant::now(),
            entries: 0,
        }
    }

    /// Entries at the last sweep.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Sweeps if it is time to.
    pub(super) fn sweep_if_due(&mut self, retire: &SchedClassifier) -> Result<(), SweepError> {
        if self.swept.elapsed() < EVERY {
            return Ok(());
        }
        self.swept = Instant::now();
        let haste = haste(self.entries, self.capacity);
        self.sweep(
            retire,
            |key, state, now_ns| {
                let idle = Duration::from_nanos(now_ns.saturating_sub(state.last_seen_ns));
                idle > timeout(key, state) / haste
            },
            None,
        )
    }

    /// Takes everything out. Nothing may be attached any more.
    pub(super) fn finish(&mut self, retire: &SchedClassifier) -> Result<(), SweepError> {
        let deadline = Instant::now() + READ_TIMEOUT;
        loop {
            self.sweep(retire, |_, _, _| true, Some(u64::MAX))?;
            // What does not fit into the ring stays in the table.
            if self.entries == 0 || Instant::now() > deadline {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Retires what `is_over`, unless a packet came since the look, or since another time.
    fn sweep(
        &mut self,
        retire: &SchedClassifier,
        is_over: impl Fn(&FlowKey, &FlowState, u64) -> bool,
        unless: Option<u64>,
    ) -> Result<(), SweepError> {
        let now_ns = monotonic_ns();
        let mut leaving = Vec::new();
        self.entries = 0;
        self.reader
            .read(self.flows.fd().as_fd(), |key, state| {
                self.entries += 1;
                if is_over(key, state, now_ns) {
                    leaving.push(*key);
                }
            })
            .map_err(SweepError::Read)?;
        if leaving.is_empty() {
            return Ok(());
        }
        // The probes' clock is behind.
        let looked_ns = now_ns.saturating_sub(COARSE_NS);
        for keys in leaving.chunks(RETIRE_KEYS) {
            run(retire, RETIRE_MARK, keys, unless.unwrap_or(looked_ns))?;
        }
        wait_for_running_programs();
        for keys in leaving.chunks(RETIRE_KEYS) {
            run(retire, RETIRE_DELETE, keys, unless.unwrap_or(looked_ns))?;
        }
        Ok(())
    }
}

/// Why the flow table could not be swept. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum SweepError {
    /// Not expected of a kernel that loaded the probes.
    #[error("cannot read the flow table")]
    Read(#[source] io::Error),
    /// As above.
    #[error("cannot run the program that retires flows")]
    Run(#[source] ProgramError),
}

/// How long a connection may be silent before it is forgotten.
fn timeout(key: &FlowKey, state: &FlowState) -> Duration {
    match key.protocol {
        TCP => {
            let [a, a_too, b, b_too] = state.marks.map(|marks| marks.tcp_flags);
            let (a, b) = (a | a_too, b | b_too);
            if (a | b) & RST != 0 || a & b & FIN != 0 {
                TCP_CLOSED
            } else if a == 0 || b == 0 {
                TCP_OPENING
            } else {
                TCP_OPEN
            }
        }
        ICMP | ICMPV6 => ECHO,
        _ => DATAGRAM,
    }
}

/// By how much time-outs are divided when the table fills up.
fn haste(entries: usize, capacity: usize) -> u32 {
    match entries.saturating_mul(20) / capacity.max(1) {
        0..15 => 1,
        15..18 => 4,
        _ => 64,
    }
}

/// Runs the program on some keys.
fn run(
    retire: &SchedClassifier,
    action: u32,
    keys: &[FlowKey],
    unless_seen_after_ns: u64,
) -> Result<(), SweepError> {
    const ETHERNET_HEADER: usize = 14;
    let header = RetireHeader {
        action,
        keys: keys.len() as u32,
        unless_seen_after_ns,
    };
    let mut packet = vec![0; ETHERNET_HEADER];
    packet.extend(header.action.to_ne_bytes());
    packet.extend(header.keys.to_ne_bytes());
    packet.extend(header.unless_seen_after_ns.to_ne_bytes());
    for key in keys {
        packet.extend(key_bytes(key));
    }
    retire
        .test_run(TestRunOptions {
            data_in: Some(&packet),
            ..TestRunOptions::default()
        })
        .map_err(SweepError::Run)?;
    Ok(())
}

/// The key as the kernel has it.
fn key_bytes(key: &FlowKey) -> Vec<u8> {
    // Taken apart by name, so that a field that is added and forgotten here does not compile.
    let FlowKey {
        address_a,
        address_b,
        port_a,
        port_b,
        scope,
        protocol,
        place,
        reserved,
    } = *key;
    let mut bytes = Vec::with_capacity(size_of::<FlowKey>());
    bytes.extend(address_a);
    bytes.extend(address_b);
    bytes.extend(port_a.to_ne_bytes());
    bytes.extend(port_b.to_ne_bytes());
    bytes.extend(scope.to_ne_bytes());
    bytes.extend([protocol, place]);
    bytes.extend(reserved);
    bytes
}

/// Returns once every program that runs now has ended: a barrier over all processors waits for
/// what runs under RCU, as programs do.
#[expect(unsafe_code, reason = "no library wraps this system call")]
fn wait_for_running_programs() {
    /// `MEMBARRIER_CMD_GLOBAL` (include/uapi/linux/membarrier.h).
    const GLOBAL: libc::c_int = 1;
    // SAFETY: no memory is passed.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if result != 0 {
        // Kernels with tickless processors refuse; a program runs for microseconds.
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn monotonic_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(flags_a: u8, flags_b: u8) -> (FlowKey, FlowState) {
        let key = FlowKey {
            protocol: TCP,
            ..FlowKey::default()
        };
        let mut state = FlowState::default();
        state.marks[1].tcp_flags = flags_a;
        state.marks[2].tcp_flags = flags_b;
        (key, state)
    }

    #[test]
    fn a_tcp_connection_is_forgotten_by_how_far_it_came() {
        const SYN: u8 = 0x02;
        const ACK: u8 = 0x10;
        let cases = [
            ((SYN, 0), TCP_OPENING),
            ((SYN | ACK, SYN | ACK), TCP_OPEN),
            ((SYN | ACK | FIN, SYN | ACK), TCP_OPEN),
            ((SYN | ACK | FIN, SYN | ACK | FIN), TCP_CLOSED),
            ((SYN, RST | ACK), TCP_CLOSED),
        ];
        for ((a, b), expected) in cases {
            let (key, state) = tcp(a, b);
            assert_eq!(timeout(&key, &state), expected, "{a:#x} {b:#x}");
        }
    }

    #[test]
    fn a_table_that_fills_up_is_swept_in_haste() {
        assert_eq!(haste(0, 100), 1);
        assert_eq!(haste(74, 100), 1);
        assert_eq!(haste(75, 100), 4);
        assert_eq!(haste(90, 100), 64);
        assert_eq!(haste(1, 0), 64);
    }

    #[test]
    fn a_key_has_the_size_that_the_kernel_expects() {
        let (key, _) = tcp(0, 0);
        assert_eq!(key_bytes(&key).len(), size_of::<FlowKey>());
    }
}

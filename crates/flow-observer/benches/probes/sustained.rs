//! Part `sustained`: how many records a second one thread takes from the kernel's ring (16 MiB),
//! decodes and puts into the flow ring, without losing any.
//!
//! A thread on another processor makes the probes report, by running them on a packet: so the
//! packets cost nothing themselves. Whatever the rate, what was reported is what was read and what
//! was counted as lost.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::source::probes::{Aggregation, ProbeConfig};
use nix::time::{ClockId, clock_gettime};

use crate::{
    cluster,
    figures::Figures,
    observer::{Observer, keep_to},
    programs::{attached, classifier, test_run},
    test_run::packet,
};

const RATES: [u64; 8] = [
    200_000, 500_000, 800_000, 1_000_000, 1_250_000, 1_500_000, 2_000_000, 3_000_000,
];
const ROUNDS: usize = 3;
const FOR: Duration = Duration::from_secs(2);
/// Runs between two looks at the clock.
const BURST: u32 = 64;
/// How long the reader may take to catch up, and to count what was lost.
const SETTLED: Duration = Duration::from_millis(1_500);

pub(crate) fn run() -> Result<()> {
    println!(
        "records per second: asked for, made, and the share that was lost, median of {ROUNDS} \
         rounds of {} s (smallest to largest)",
        FOR.as_secs()
    );
    for rate in RATES {
        let (mut made, mut lost, mut busy) =
            (Figures::default(), Figures::default(), Figures::default());
        for _ in 0..ROUNDS {
            let round = round(rate)?;
            made.add(round.made as f64 / round.took.as_secs_f64() / 1e3);
            lost.add(round.lost as f64 / round.made as f64 * 100.0);
            busy.add(round.busy.as_nanos() as f64 / (round.made - round.lost) as f64);
        }
        println!(
            "  {:4} k asked, {made} k made, {lost} % lost; reader {busy} ns per record",
            rate / 1_000
        );
    }
    Ok(())
}

struct Round {
    made: u64,
    lost: u64,
    took: Duration,
    /// Processor time of this process without the thread that makes records.
    busy: Duration,
}

fn round(rate: u64) -> Result<Round> {
    let cluster = cluster()?;
    let node = cluster.nodes().first().context("a cluster without nodes")?;
    let config = ProbeConfig {
        aggregation: Aggregation::None,
        sockets: false,
        tcp: false,
        ..ProbeConfig::default()
    };
    let last = thread::available_parallelism()?.get() - 1;
    let observer = Observer::start(node, &config, Some(last))?;
    let from_endpoint = attached(node)?
        .into_iter()
        .find(|it| it.name_as_str() == Some("from_endpoint"))
        .context("from_endpoint is not attached")?;
    let program = classifier(from_endpoint)?;
    let packet = packet();
    // What the namespaces say by themselves when they are new.
    thread::sleep(SETTLED);
    let (seen, lost) = (
        observer.counters.seen_flows(),
        observer.counters.lost_records(),
    );

    let busy_before = processor_time(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let (made, took, own) = thread::scope(|scope| {
        scope
            .spawn(|| -> Result<_> {
                keep_to(0)?;
                let began = Instant::now();
                let mut made = 0;
                while began.elapsed() < FOR {
                    let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
                    if made < due {
                        test_run(&program, &packet, BURST)?;
                        made += u64::from(BURST);
                    } else {
                        std::hint::spin_loop();
                    }
                }
                let took = began.elapsed();
                Ok((
                    made,
                    took,
                    processor_time(ClockId::CLOCK_THREAD_CPUTIME_ID)?,
                ))
            })
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that makes records panicked"))?
    })?;
    thread::sleep(SETTLED);
    let busy = processor_time(ClockId::CLOCK_PROCESS_CPUTIME_ID)? - busy_before - own;

    let read = observer.counters.seen_flows() - seen;
    let lost = observer.counters.lost_records() - lost;
    drop(program);
    observer.end()?;
    // The namespaces themselves send a packet now and then, which is reported as well.
    let others = (read + lost).checked_sub(made);
    ensure!(
        others.is_some_and(|others| others < 100),
        "{made} records made, {read} read and {lost} lost"
    );
    Ok(Round {
        made,
        lost,
        took,
        busy,
    })
}

fn processor_time(clock: ClockId) -> Result<Duration> {
    Ok(clock_gettime(clock)?.into())
}

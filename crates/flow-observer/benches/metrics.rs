//! From the ring to the counters of metrics: ns of one thread per flow. And a page of 100,000 series:
//! how long a scrape takes, and how long counting stands still meanwhile.
//!
//! The flows are those of the `serve` benchmark. What was counted is compared with what a plan counts
//! of the same flows as messages.

#[path = "serve/flows.rs"]
mod flows;

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use flow_observer::{
    metrics::{
        flows::{DEFAULT_SERIES_BUDGET, Plan, parse_line},
        measure::{self, Counting},
    },
    ring::{Event, FlowRing, Read},
};

use flows::FLOWS;

const ROUNDS: usize = 7;
/// Enough for all flows of a round.
const UNBOUNDED: usize = 200_000;
/// What is to be reached, ns per flow.
const GOAL_NS: f64 = 300.0;
/// What is to be reached, for [`SERIES`].
const GOAL_SCRAPE: Duration = Duration::from_millis(200);
const SERIES: usize = 100_000;

/// All plug-ins; `http` and `httpV2` cannot be on together.
const PLUGINS: [&str; 11] = [
    "dns:query",
    "drop:",
    "flow:",
    "flows-to-world:any-drop;port",
    "httpV2:exemplars=true",
    "icmp:",
    "kafka:",
    "policy:",
    "port-distribution:",
    "sctp:",
    "tcp:",
];

/// Labels of all of them.
const CONTEXTS: [(&str, &str); 4] = [
    ("no contexts", ""),
    (
        "source and destination by workload",
        "sourceContext=workload|reserved-identity;destinationContext=workload|reserved-identity",
    ),
    (
        "the same, and five labels",
        "sourceContext=workload|reserved-identity;destinationContext=workload|reserved-identity;\
         labelsContext=source_namespace,source_workload,destination_namespace,destination_workload,\
         traffic_direction",
    ),
    (
        "all labels but for addresses, pods",
        "sourceContext=pod;destinationContext=pod|dns|ip;labelsContext=source_pod,source_namespace,\
         source_workload,source_workload_kind,source_app,destination_pod,destination_namespace,\
         destination_workload,destination_workload_kind,destination_app,traffic_direction",
    ),
];

fn main() -> Result<()> {
    // Part of a name; `cargo bench` adds a flag of its own.
    let wanted = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    let ring = Arc::new(FlowRing::new(FLOWS));
    flows::fill(&ring);
    println!("{FLOWS} flows; ns of one thread per flow, median (least to most) of {ROUNDS}");
    let floor = (0..ROUNDS).map(|_| look(&ring)).collect();
    report("floor: looking at each flow", floor);
    for (name, contexts) in CONTEXTS {
        if wanted
            .as_ref()
            .is_some_and(|it| !name.contains(it.as_str()))
        {
            continue;
        }
        let config = PLUGINS.map(|plugin| format!("{plugin};{contexts}").replace(":;", ":"));
        let config = config.join(" ");
        check(&ring, &config)?;
        for (budget, what) in [
            (DEFAULT_SERIES_BUDGET, "the usual budget"),
            (UNBOUNDED, "no budget"),
        ] {
            let mut figures = Vec::new();
            let mut series = 0;
            for _ in 0..ROUNDS {
                let mut counting = Counting::new(&parse_line(&config)?, budget, "node-1")?;
                // As an agent that runs for a while, with the series there already.
                counting.count(&ring);
                let begun = Instant::now();
                let (counted, _) = counting.count(&ring);
                figures.push(begun.elapsed().as_secs_f64() * 1e9 / counted as f64);
                ensure!(counted == FLOWS as u64, "{counted} flows");
                series = counting.series().iter().map(|(_, series, _)| series).sum();
            }
            report(&format!("{name}, {what}: {series} series"), figures);
        }
    }
    println!("goal {GOAL_NS}");
    if wanted.is_none() {
        scrapes(&ring)?;
    }
    Ok(())
}

fn report(name: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    let last = figures.len() - 1;
    println!(
        "{name:70} {:7.1} ({:.1} to {:.1})",
        figures[last / 2],
        figures[0],
        figures[last]
    );
}

/// What it takes to come by all flows.
fn look(ring: &FlowRing) -> f64 {
    let begun = Instant::now();
    let (mut position, mut drops) = (ring.oldest(), 0);
    while let Read::Batch(batch) = ring.read(position) {
        for slot in batch.from(position) {
            if let Event::Flow(flow) = &slot.event {
                drops += u64::from(black_box(flow).drop_reason() > 0);
            }
        }
        position = batch.end();
    }
    black_box(drops);
    begun.elapsed().as_secs_f64() * 1e9 / FLOWS as f64
}

/// The same flows as messages make the same series.
fn check(ring: &Arc<FlowRing>, config: &str) -> Result<()> {
    let metrics = parse_line(config)?;
    let mut counting = Counting::new(&metrics, UNBOUNDED, "node-1")?;
    counting.count(ring);
    let mut plan = Plan::new(&metrics, UNBOUNDED)?;
    for flow in measure::messages(ring, "node-1") {
        plan.count(&flow);
    }
    let planned: Vec<_> = plan
        .metrics()
        .into_iter()
        .map(|it| (it.name, it.series, it.beyond_budget))
        .collect();
    let counted = counting.series();
    ensure!(planned == counted, "{planned:?}\n{counted:?}");
    ensure!(
        counted.iter().any(|(_, series, _)| *series > 0),
        "{counted:?}"
    );
    Ok(())
}

/// Scrapes beside a thread that counts, and makes new series all the time.
fn scrapes(ring: &Arc<FlowRing>) -> Result<()> {
    // Nearly each flow has a series of its own.
    let config = "flow:labelsContext=source_ip,destination_ip,source_pod,source_namespace,\
                  destination_pod,destination_namespace,traffic_direction";
    let others = |seed| {
        let others = FlowRing::new(FLOWS);
        flows::fill_by(&others, seed);
        others
    };
    let news: Vec<_> = (10..10 + ROUNDS as u64).map(others).collect();
    let mut counting = Counting::new(&parse_line(config)?, usize::MAX, "node-1")?;
    counting.count(ring);
    counting.count(&others(2));
    let page = counting.page();
    let series = counting.series()[0].1;
    ensure!(series > SERIES, "{series} series");
    let text = page.text()?;
    ensure!(text.lines().filter(|it| it.starts_with("hubble_")).count() == series);
    let mut scrapes = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        black_box(page.text()?);
        scrapes.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "a page of {series} series, {} MB; ms",
        text.len() / 1_000_000
    );
    let copies = (0..ROUNDS).map(|_| copy(&text)).collect();
    report("floor: copying its lines", copies);
    report("a scrape", scrapes);
    println!("goal {} for {SERIES}", GOAL_SCRAPE.as_millis());

    println!("the longest time between two batches of 256 flows that are counted, ms");
    let (before, after) = news.split_at(ROUNDS / 2);
    for (what, rings, is_scraped) in [
        (
            "floor: beside a thread that copies the page's lines",
            before,
            false,
        ),
        ("beside scrapes", after, true),
    ] {
        let is_done = AtomicBool::new(false);
        let mut pauses = Vec::new();
        thread::scope(|scope| -> Result<()> {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    match is_scraped {
                        true => drop(black_box(page.text())),
                        false => drop(black_box(copy(&text))),
                    }
                }
            });
            for ring in rings {
                pauses.push(counting.count(ring).1.as_secs_f64() * 1e3);
            }
            is_done.store(true, Ordering::Relaxed);
            Ok(())
        })?;
        report(what, pauses);
    }
    Ok(())
}

/// Milliseconds to copy a text, line by line.
fn copy(text: &str) -> f64 {
    let begun = Instant::now();
    let mut copy = String::new();
    for line in text.lines() {
        copy.push_str(line);
    }
    black_box(copy);
    begun.elapsed().as_secs_f64() * 1e3
}

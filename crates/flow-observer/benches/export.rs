//! From the ring to a file of JSON: µs of one thread per flow, beside writing the same bytes.
//!
//! The flows are those of the `serve` benchmark. An exporter writes all of a full ring to a file, which is
//! read and compared with the reference form of some of its lines; the floor writes the file's bytes to
//! another one in pieces of the same size.

#[path = "serve/flows.rs"]
mod flows;

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::Arc,
    time::Instant,
};

use anyhow::{Result, ensure};
use flow_api::{flow::FlowFilter, json, observer::ExportEvent};
use flow_observer::{
    export::{Spec, Target, export_ring},
    ring::FlowRing,
};

use flows::FLOWS;

const ROUNDS: usize = 7;
/// Hubble's encoder, µs per flow.
const HUBBLE_US: f64 = 16.0;
/// What is to be reached, flows per second and core.
const GOAL: f64 = 300_000.0;
/// As the exporter writes.
const LOT: usize = 256 << 10;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (path, copy) = (
        folder.path().join("flows.log"),
        folder.path().join("copy.log"),
    );
    let runtime = tokio::runtime::Runtime::new()?;
    let _within = runtime.enter();
    let mut whole = Spec::new("bench", Target::File(path.clone()));
    whole.rotation.max_bytes = 0;
    let masked = Spec {
        field_mask: [
            "time",
            "verdict",
            "IP",
            "l4",
            "source.pod_name",
            "destination.pod_name",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..whole.clone()
    };
    let filtered = Spec {
        allow: vec![FlowFilter {
            source_pod: vec!["nowhere/".to_owned()],
            ..FlowFilter::default()
        }],
        ..whole.clone()
    };
    let mut figures = vec![Vec::new(); 4];
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let ring = Arc::new(FlowRing::new(FLOWS));
        flows::fill(&ring);
        for (spec, figures) in [&whole, &masked, &filtered].into_iter().zip(&mut figures) {
            drop(fs::remove_file(&path));
            let begun = Instant::now();
            export_ring(&ring, spec, "node-1")?;
            figures.push(begun.elapsed().as_secs_f64() * 1e6 / FLOWS as f64);
            check(spec, &path)?;
            if *spec == whole {
                bytes = fs::metadata(&path)?.len();
            }
        }
        drop(fs::remove_file(&path));
        export_ring(&ring, &whole, "node-1")?;
        let text = fs::read(&path)?;
        drop(fs::remove_file(&copy));
        let begun = Instant::now();
        let mut file = File::create(&copy)?;
        for lot in text.chunks(LOT) {
            file.write_all(lot)?;
        }
        figures[3].push(begun.elapsed().as_secs_f64() * 1e6 / FLOWS as f64);
    }
    println!(
        "{FLOWS} flows, {} bytes a line; µs of one thread per flow, median (least to most) of {ROUNDS}",
        bytes / FLOWS as u64
    );
    let names = [
        "whole flows",
        "six fields",
        "a filter that matches nothing",
        "floor: writing the same bytes",
    ];
    for (name, mut figures) in names.into_iter().zip(figures) {
        figures.sort_by(f64::total_cmp);
        let median = figures[ROUNDS / 2];
        println!(
            "{name:32} {median:6.3} ({:.3} to {:.3}) = {:>9.0}/s",
            figures[0],
            figures[ROUNDS - 1],
            1e6 / median
        );
    }
    println!("goal {GOAL}/s; Hubble's encoder alone {HUBBLE_US} µs");
    Ok(())
}

/// All flows are there, in the form in which messages are told.
fn check(spec: &Spec, path: &Path) -> Result<()> {
    let expected = if spec.allow.is_empty() { FLOWS } else { 0 };
    // A file is made for the first line.
    let text = match expected {
        0 => fs::read_to_string(path).unwrap_or_default(),
        _ => fs::read_to_string(path)?,
    };
    ensure!(
        text.lines().count() == expected,
        "{} lines",
        text.lines().count()
    );
    for line in text.lines().step_by(101) {
        let event: ExportEvent = json::from_str(line)?;
        ensure!(json::to_string(&event) == line, "{line}");
    }
    Ok(())
}

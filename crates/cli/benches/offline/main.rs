//! Reading flows from a file: what a flow costs by format and filter, and how long a start takes.
//! And printing them as they come from a server.
//!
//! ```text
//! cargo xtask bench offline [--flows 1000000] [--reference /path/to/hubble]
//! ```
//!
//! The reference is run beside, when there is one in the path or as told; else its recorded figures
//! stand there. Every output is compared with that of the same flows in another spelling, which
//! take another way through the reader.

mod child;
mod flows;
mod live;

use std::{
    fs::File,
    io::{BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use flow_api::{
    json,
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use tempfile::TempDir;

use crate::child::Cost;
use crate::flows::Flows;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_palomar");

#[derive(Debug, Parser)]
struct Options {
    /// How many flows
    #[arg(long, default_value_t = 200_000)]
    flows: u64,
    /// Hubble's command line, to be run beside [default: hubble in the path, if there is one]
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only write the flows into this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Without the flows of a server
    #[arg(long)]
    no_live: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// One line of the table.
struct Case {
    name: &'static str,
    flags: &'static [&'static str],
    /// Thousands of flows for each second of a core: what was measured of the reference before.
    recorded: f64,
    /// How many times that is asked for.
    goal: f64,
}

const CASES: [Case; 6] = [
    Case {
        name: "json",
        flags: &["-o", "json"],
        recorded: 18.0,
        goal: 10.0,
    },
    Case {
        name: "compact",
        flags: &["-o", "compact"],
        recorded: 28.7,
        goal: 10.0,
    },
    Case {
        name: "dict",
        flags: &["-o", "dict"],
        recorded: 30.3,
        goal: 10.0,
    },
    Case {
        name: "json, --verdict DROPPED",
        flags: &["-o", "json", "--verdict", "DROPPED"],
        recorded: 32.5,
        goal: 15.0,
    },
    Case {
        name: "json, --pod shop/web",
        flags: &["-o", "json", "--pod", "shop/web"],
        recorded: 33.2,
        goal: 15.0,
    },
    Case {
        name: "json, --fqdn *.example.com",
        flags: &["-o", "json", "--fqdn", "*.example.com"],
        recorded: 32.8,
        goal: 15.0,
    },
];

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(path) = &options.write {
        write(path, options.flows, json::write)?;
        return Ok(());
    }
    let folder = TempDir::new()?;
    let path = folder.path().join("flows.json");
    let bytes = write(&path, options.flows, json::write)?;
    println!(
        "{} flows, {:.0} MB, {} bytes a line",
        options.flows,
        bytes as f64 / 1e6,
        bytes / options.flows.max(1)
    );
    report("floor: read, count lines", options.flows, &floor(&path)?);
    let reference = reference(&options)?;
    for case in &CASES {
        measure(case, &path, &options, reference.as_deref())?;
    }
    for (name, spelling) in [
        ("other alphabet and escapes", escaped as fn(&_, &mut _)),
        ("members in another order", reordered),
    ] {
        write(&path, options.flows, spelling)?;
        println!("{name}:");
        for case in &CASES {
            measure(case, &path, &options, None)?;
        }
    }
    let few = options.flows.min(100_000);
    let other = folder.path().join("other.json");
    write(&path, few, json::write)?;
    write(&other, few, reordered)?;
    same_output(&path, &other)?;
    start(folder.path(), reference.as_deref())?;
    if !options.no_live {
        live::run(options.flows)?;
    }
    Ok(())
}

fn measure(case: &Case, path: &Path, options: &Options, reference: Option<&Path>) -> Result<()> {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..options.rounds {
        ours.push(child::cost(&mut observe(
            BINARY.as_ref(),
            path,
            case.flags,
        ))?);
        if let Some(reference) = reference {
            theirs.push(child::cost(&mut observe(reference, path, case.flags))?);
        }
    }
    let ours = median(ours).context("no rounds")?;
    report(case.name, options.flows, &ours);
    let rate = match median(theirs) {
        Some(theirs) => {
            report("  reference", options.flows, &theirs);
            rate(options.flows, &theirs)
        }
        None => case.recorded,
    };
    println!(
        "  {:.1} times the reference ({rate:.1} k/s), asked for: {}",
        self::rate(options.flows, &ours) / rate,
        case.goal
    );
    Ok(())
}

fn median(mut costs: Vec<Cost>) -> Option<Cost> {
    costs.sort_by_key(|cost| cost.cpu);
    costs.get(costs.len() / 2).copied()
}

fn report(name: &str, flows: u64, cost: &Cost) {
    println!(
        "{name:<28} {:>7.2} s  {:>7.2} CPU s  {:>7.0} k flows per CPU s  {:>6.1} MiB",
        cost.wall.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        rate(flows, cost),
        cost.peak_kib as f64 / 1024.0
    );
}

/// Thousands of flows for each second of a core.
fn rate(flows: u64, cost: &Cost) -> f64 {
    flows as f64 / 1000.0 / cost.cpu.as_secs_f64()
}

fn observe(program: &Path, path: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(["observe", "--all", "--input-file"])
        .arg(path)
        .args(flags)
        .env("HOME", "/nonexistent");
    command
}

/// The program to compare with; `None` if there is none.
fn reference(options: &Options) -> Result<Option<PathBuf>> {
    let Some(named) = &options.reference else {
        let found = Command::new("hubble").arg("version").output().is_ok();
        return Ok(found.then(|| "hubble".into()));
    };
    let output = Command::new(named).arg("version").output();
    ensure!(output.is_ok(), "cannot run {}", named.display());
    Ok(Some(named.clone()))
}

/// Writes flows, each as a line. Returns how many bytes that are.
fn write(path: &Path, flows: u64, write: fn(&GetFlowsResponse, &mut Vec<u8>)) -> Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut source = Flows::new();
    let mut line = Vec::new();
    let mut bytes = 0;
    for _ in 0..flows {
        line.clear();
        write(&source.next(), &mut line);
        line.push(b'\n');
        file.write_all(&line)?;
        bytes += line.len() as u64;
    }
    file.flush()?;
    Ok(bytes)
}

/// A response in whose strings something has to be escaped, and something is not ASCII.
fn escaped(response: &GetFlowsResponse, out: &mut Vec<u8>) {
    let mut response = response.clone();
    if let Some(ResponseTypes::Flow(flow)) = &mut response.response_types {
        flow.uuid.push_str(" <ü> & \"д\"");
    }
    json::write(&response, out);
}

/// The same response with its members the other way round.
fn reordered(response: &GetFlowsResponse, out: &mut Vec<u8>) {
    let text = json::to_string(response);
    // As in `{"flow":{…},"node_name":"…","time":"…"}`.
    let (start, end) = text.rsplit_once(",\"node_name\":").unwrap_or((&text, ""));
    out.extend_from_slice(b"{\"nodeName\":");
    out.extend_from_slice(end.trim_end_matches('}').as_bytes());
    out.push(b',');
    out.extend_from_slice(start.trim_start_matches('{').as_bytes());
    out.push(b'}');
}

fn floor(path: &Path) -> Result<Cost> {
    let before = child::own()?;
    let begun = Instant::now();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 512 * 1024];
    let mut lines = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count();
    }
    std::hint::black_box(lines);
    Ok(Cost {
        wall: begun.elapsed(),
        cpu: child::own()?.saturating_sub(before),
        peak_kib: 0,
    })
}

fn same_output(path: &Path, other: &Path) -> Result<()> {
    for case in &CASES {
        let printed = |path| child::printed(&mut observe(BINARY.as_ref(), path, case.flags));
        ensure!(
            printed(path)? == printed(other)?,
            "{}: another spelling of the same flows is printed otherwise",
            case.name
        );
    }
    println!("the same output for another spelling of the same flows");
    Ok(())
}

/// From start to exit, with one flow.
fn start(folder: &Path, reference: Option<&Path>) -> Result<()> {
    const STARTS: usize = 41;
    let path = folder.join("one.json");
    write(&path, 1, json::write)?;
    let mut programs = vec![
        ("floor: /bin/true", Command::new("/bin/true")),
        ("one flow", observe(BINARY.as_ref(), &path, &[])),
    ];
    if let Some(reference) = reference {
        programs.push(("one flow, reference", observe(reference, &path, &[])));
    }
    for (name, mut command) in programs {
        let mut walls = Vec::new();
        for _ in 0..STARTS {
            walls.push(child::wall(&mut command)?);
        }
        walls.sort_unstable();
        let milliseconds = |wall: Duration| wall.as_secs_f64() * 1000.0;
        println!(
            "{name:<28} {:>7.2} ms ({:.2} to {:.2}) from start to exit",
            milliseconds(walls[STARTS / 2]),
            milliseconds(walls[0]),
            milliseconds(walls[STARTS - 1])
        );
    }
    Ok(())
}

//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/` with cargo-fuzz: one after the other, or with
//! `--smoke` as many at a time as there are processors.
//!
//! New inputs begin with what is checked in as `fuzz/seeds/TARGET`; those that reach new code are
//! kept in `fuzz/corpus/TARGET`, which is not. Built without a sanitizer: the code under test is
//! safe Rust, where panics and overflows tell of mistakes, and so the stable compiler will do.

use std::{
    fs,
    panic::resume_unwind,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::workspace;

/// The version that is installed: fixed, so that a new one never fails an unchanged tree.
const VERSION: &str = "0.13.2";
/// Long enough for every target to be tried, in a run that everybody waits for.
const SMOKE_SECONDS: u32 = 10;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this target, as in `decode_record`
    target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u32,
    /// 10 seconds for each target
    #[arg(long, conflicts_with = "seconds")]
    smoke: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    let targets = targets(&root.join("fuzz/fuzz_targets"))?;
    let chosen = match &options.target {
        None => targets,
        Some(target) => {
            ensure!(
                targets.contains(target),
                "no fuzz target {target}: expected one of {}",
                targets.join(", ")
            );
            vec![target.clone()]
        }
    };
    let seconds = if options.smoke {
        SMOKE_SECONDS
    } else {
        options.seconds
    };

    let cargo_fuzz = workspace::tool(&root, "cargo-fuzz", VERSION)?;
    let started = Instant::now();
    let mut build = command(&root, &cargo_fuzz, "build");
    workspace::run(build.args(&options.target)).context("cannot build the fuzz targets")?;
    println!("built in {} s", started.elapsed().as_secs());
    let run = |target: &String| {
        // The first folder is written to, the others are only read.
        let corpus = root.join("fuzz/corpus").join(target);
        let seeds = root.join("fuzz/seeds").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let mut run = command(&root, &cargo_fuzz, "run");
        run.arg(target).arg(&corpus);
        if seeds.exists() {
            run.arg(&seeds);
        }
        run.arg("--").arg(format!("-max_total_time={seconds}"));
        let outcome = if options.smoke {
            in_short(&mut run, target)
        } else {
            println!("fuzzing {target} for {seconds} s");
            workspace::run(&mut run)
        };
        outcome.with_context(|| format!("fuzz target {target} found a mistake, or could not run"))
    };
    if options.smoke {
        side_by_side(&chosen, run)
    } else {
        chosen.iter().try_for_each(run)
    }
}

/// Each processor takes the next target when it is done with one.
fn side_by_side(targets: &[String], run: impl Fn(&String) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        std::iter::from_fn(|| targets.get(next.fetch_add(1, Ordering::Relaxed))).try_for_each(&run)
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Runs a target, and prints all that it said only when it failed.
fn in_short(run: &mut Command, target: &str) -> Result<()> {
    let output = run.output().context("cannot start cargo-fuzz")?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("{log}");
        bail!("cargo-fuzz ended with {}", output.status);
    }
    // As in `Done 123 runs in 11 second(s)`.
    let done = log.lines().rfind(|line| line.starts_with("Done "));
    println!("{target}: {}", done.unwrap_or("done"));
    Ok(())
}

/// The names of the targets, sorted.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}

fn command(root: &Path, cargo_fuzz: &Path, what: &str) -> Command {
    let mut command = Command::new(cargo_fuzz);
    command
        .current_dir(root)
        .args(["fuzz", what, "--sanitizer", "none", "--target-dir"])
        .arg(root.join("target/fuzz"));
    command
}

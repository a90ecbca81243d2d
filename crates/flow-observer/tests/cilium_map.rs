//! Cilium's event map on a real kernel: a program in the part of the datapath writes records, and
//! the map's reader finds them.
//!
//! Where that cannot run, for lack of a privilege, the tests are shown as ignored and the reason is
//! printed; with the environment variable `CI` set they fail instead.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use flow_observer::{
    decode::cilium::{self, Record},
    source::{RawEvent, Source as _, cilium::map::EventMap},
};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, CpuSet, sched_setaffinity, unshare},
    unistd::Pid,
};

/// A program that sends its packet to the perf event array `EVENTS`.
static INJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf-probes/inject.bpf.o");

const PATIENCE: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(20);

type Rule = fn(&Path) -> Result<()>;

const RULES: [(&str, Rule); 4] = [
    ("records_arrive_without_their_padding", records_arrive),
    ("a_record_in_two_pieces_arrives_whole", pieces_arrive_whole),
    (
        "what_was_written_is_read_or_counted_as_lost",
        losses_are_counted,
    ),
    (
        "a_map_of_another_kind_is_refused_by_name",
        other_maps_are_refused,
    ),
];

fn main() -> Result<ExitCode> {
    let folder = Arc::new(tempfile::tempdir()?);
    let possible = prepare(folder.path());
    let ignored = possible.is_err() && std::env::var_os("CI").is_none();
    if let Err(error) = &possible {
        eprintln!("\nCilium's event map cannot be tested here: {error:#}");
        eprintln!(
            "{}\n",
            if ignored {
                "TESTS IGNORED"
            } else {
                "with CI set this is a failure"
            }
        );
    }
    let trials = RULES
        .iter()
        .map(|&(name, rule)| {
            let folder = Arc::clone(&folder);
            Trial::test(name, move || {
                rule(&folder.path().join(name)).map_err(|error| Failed::from(format!("{error:#}")))
            })
            .with_ignored_flag(ignored)
        })
        .collect();
    Ok(libtest_mimic::run(&Arguments::from_args(), trials).exit_code())
}

/// A BPF file system of our own, that nobody else sees and that goes away with this process.
fn prepare(folder: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("no mount namespace (CAP_SYS_ADMIN)")?;
    let nothing: Option<&str> = None;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .context("cannot keep mounts to ourselves")?;
    mount(Some("bpf"), folder, Some("bpf"), MsFlags::empty(), nothing)
        .context("cannot mount a BPF file system")?;
    Datapath::start(&folder.join("try")).map(drop)
}

/// The part of the datapath: an array pinned at a path, and a program that writes to it.
struct Datapath {
    ebpf: Ebpf,
    path: PathBuf,
}

impl Datapath {
    fn start(path: &Path) -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(INJECT).context("cannot load")?;
        ebpf.map("EVENTS").context("no map")?.pin(path)?;
        let program: &mut SchedClassifier = ebpf
            .program_mut("inject")
            .context("no program")?
            .try_into()?;
        program.load().context("the verifier refused")?;
        Ok(Self {
            ebpf,
            path: path.to_owned(),
        })
    }

    /// Writes a record from the given CPU. False when the kernel had no room for it.
    fn write(&self, cpu: usize, record: &[u8]) -> Result<bool> {
        /// `ENOSPC`, as the program returns it.
        const NO_ROOM: u32 = 28u32.wrapping_neg();
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &only)?;
        let program: &SchedClassifier = self
            .ebpf
            .program("inject")
            .context("no program")?
            .try_into()?;
        let mut options = TestRunOptions::new();
        options.data_in = Some(record);
        let result = program.test_run(options)?;
        match result.return_value {
            0 => Ok(true),
            NO_ROOM => Ok(false),
            other => anyhow::bail!("the kernel refused the record: {}", other.cast_signed()),
        }
    }
}

#[derive(Debug, Eq, PartialEq)]
enum Seen {
    Record(u32, Vec<u8>),
    Lost(u32, u64),
}

/// Reads until there are as many events, or the deadline has passed.
fn read(source: &mut EventMap, limit: usize, enough: usize) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    let begun = Instant::now();
    while seen.len() < enough {
        ensure!(begun.elapsed() < DEADLINE, "only {seen:?}");
        let before = seen.len();
        source.poll(PATIENCE, limit, &mut |raw| match raw {
            RawEvent::Cilium { cpu, bytes } => seen.push(Seen::Record(cpu, bytes.to_vec())),
            RawEvent::Lost { cpu, count } => seen.push(Seen::Lost(cpu, count)),
            _ => {}
        })?;
        ensure!(seen.len() - before <= limit, "more than asked for");
    }
    Ok(seen)
}

/// A trace record (to-network, established) with a packet of the given length.
fn trace_record(packet: usize) -> Vec<u8> {
    let mut record = vec![4, 11, 0, 0, 1, 2, 3, 4];
    record.extend((packet as u32).to_ne_bytes());
    record.extend((packet as u16).to_ne_bytes());
    record.extend([0, 0]);
    record.extend(25_001u32.to_ne_bytes());
    record.extend(2u32.to_ne_bytes());
    record.extend([0, 0, 1, 0]);
    record.extend(7u32.to_ne_bytes());
    record.extend((0..packet).map(|at| at as u8));
    record
}

fn debug_record() -> Vec<u8> {
    let mut record = vec![2, 40, 7, 0];
    record.extend([9; 16]);
    record
}

/// Two CPUs, or on a small machine one.
fn cpus_to_write_from() -> Result<Vec<u32>> {
    let online =
        aya::util::online_cpus().map_err(|(what, error)| anyhow::anyhow!("{what}: {error}"))?;
    Ok(online.into_iter().take(2).collect())
}

fn records_arrive(path: &Path) -> Result<()> {
    let datapath = Datapath::start(path)?;
    let mut source = EventMap::open(&datapath.path, true, 16)?;
    let records = [
        debug_record(),
        trace_record(1),
        trace_record(60),
        trace_record(127),
        trace_record(1500),
    ];
    let cpus = cpus_to_write_from()?;
    for &cpu in &cpus {
        for record in &records {
            ensure!(datapath.write(cpu as usize, record)?, "no room");
        }
    }
    let seen = read(&mut source, 3, cpus.len() * records.len())?;
    for &cpu in &cpus {
        let of_cpu: Vec<&Vec<u8>> = seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Record(from, bytes) if *from == cpu => Some(bytes),
                _ => None,
            })
            .collect();
        ensure!(of_cpu == records.iter().collect::<Vec<_>>(), "{of_cpu:?}");
        let decoded = cilium::decode(of_cpu[3])?;
        let Record::Trace(notify, packet) = decoded else {
            anyhow::bail!("{decoded:?}");
        };
        ensure!(notify.ifindex == 7 && packet.bytes.len() == 127);
    }
    Ok(())
}

fn pieces_arrive_whole(path: &Path) -> Result<()> {
    let datapath = Datapath::start(path)?;
    // One page: a record of 932 bytes lies across its end every fifth time.
    let mut source = EventMap::open(&datapath.path, true, 1)?;
    let record = trace_record(900);
    for _ in 0..40 {
        ensure!(datapath.write(0, &record)?, "no room");
        ensure!(read(&mut source, 10, 1)? == [Seen::Record(0, record.clone())]);
    }
    Ok(())
}

fn losses_are_counted(path: &Path) -> Result<()> {
    const WRITTEN: u64 = 50;
    let datapath = Datapath::start(path)?;
    let mut source = EventMap::open(&datapath.path, true, 1)?;
    let mut refused = 0;
    for _ in 0..WRITTEN {
        refused += u64::from(!datapath.write(0, &trace_record(400))?);
    }
    ensure!(refused > 0, "the buffer holds more than a page");
    let before = read(&mut source, 100, 1)?;
    // The kernel tells with the first record that finds room again.
    ensure!(datapath.write(0, &debug_record())?, "no room");
    let after = read(&mut source, 100, 2)?;
    ensure!(before.len() as u64 + refused == WRITTEN, "{before:?}");
    let expected = [Seen::Lost(0, refused), Seen::Record(0, debug_record())];
    ensure!(after == expected, "{after:?}");
    Ok(())
}

fn other_maps_are_refused(path: &Path) -> Result<()> {
    let mut loader = EbpfLoader::new();
    let ebpf = loader
        .load(aya::include_bytes_aligned!(
            "../../ebpf-probes/probes.bpf.o"
        ))
        .context("cannot load")?;
    ebpf.map("COUNTERS").context("no map")?.pin(path)?;
    let error = EventMap::open(path, true, 1).err().context("opened")?;
    ensure!(
        error.to_string().ends_with("is no perf event array"),
        "{error}"
    );
    Ok(())
}

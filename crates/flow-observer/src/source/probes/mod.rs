//! Our own eBPF probes: loading, attaching, and reading what they saw.
//!
//! ```text
//!            attacher thread                        pipeline thread
//!   netlink news -> look at devices -> attach     ring buffer -> records
//!                -> look at namespaces -> map <-> whose is this drop?
//!         every second -> flow table -> ring buffer
//! ```

mod attacher;
mod batch;
mod btf;
mod cgroup;
mod clock;
mod config;
mod conntrack;
mod devices;
mod hook_rings;
mod hooks;
mod last;
mod layout;
mod links;
mod measuring;
mod memory;
mod names;
mod namespaces;
mod netlink;
mod owners;
mod ownership;
mod privilege;
mod processes;
mod reader;
mod reasons;
mod ring_buffer;
mod sockets;
mod statistics;
mod sweep;
mod symbols;
mod tcp;

use std::{io, sync::Arc};

use aya::{
    EbpfLoader,
    maps::{Array, Map},
    programs::BtfTracePoint,
};
use probe_events::ReasonClass;

pub use self::{
    attacher::Attacher,
    btf::BtfError,
    config::{
        ALL_TCP_FLAGS, Aggregation, DEFAULT_AGGREGATION, DEFAULT_CONNTRACK_QUEUE_BYTES,
        DEFAULT_FLOW_TABLE_ENTRIES, DEFAULT_INTERVAL, ProbeConfig,
    },
    names::KernelNames,
    privilege::{PrivilegeError, drop_others},
    processes::ProcessTable,
    reader::Reader,
    statistics::{ProbeStatistics, Snapshot, TranslationCounts},
};
use self::{
    attacher::AttacherMaps, measuring::Measuring, reader::ReaderMaps, ring_buffer::RingBuffer,
};
use crate::source::{Hook, RunTimes};

/// The kernel programs, built by `cargo xtask probes` from the crate `ebpf-probes`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ebpf-probes/probes.bpf.o"
));

/// Why the probes are not running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// Not started as root, or in a container without these capabilities.
    #[error("the probes need {missing}: run as root, or serve without probes with --source none")]
    Privilege {
        /// The capabilities that are missing.
        missing: String,
    },
    /// No type information, or an older kernel.
    #[error("the probes cannot find their way in this kernel (Linux 5.17 or later is needed)")]
    Kernel(#[from] BtfError),
    /// The verifier, or a limit; the chain tells.
    #[error("cannot load the probes")]
    Load(#[from] aya::EbpfError),
    /// As above, for one program.
    #[error("cannot load the program {program}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        #[source]
        source: aya::programs::ProgramError,
    },
    /// The object is not the one this loader was made for; a build gone wrong.
    #[error("the probes' object has no {what}")]
    Object {
        /// The map or program.
        what: &'static str,
    },
    /// A map refused an operation.
    #[error("cannot set up the probes' maps")]
    Map(#[from] aya::maps::MapError),
    /// The routing socket, which tells the devices.
    #[error("cannot look at this host's devices")]
    Devices(#[source] io::Error),
    /// The flow table could not be read or emptied; tried again.
    #[error("cannot sweep the flow table")]
    Sweep(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sweep::SweepError> for ProbeError {
    fn from(error: sweep::SweepError) -> Self {
        Self::Sweep(Box::new(error))
    }
}

/// The probes as they were started.
pub struct Probes {
    /// Yields what the probes see.
    pub reader: Reader,
    /// Keeps them attached; stops and detaches when dropped.
    pub attacher: Attacher,
    /// What reasons and addresses in their records are called.
    pub names: KernelNames,
    /// What of the optional is on, and why the rest is off.
    pub hooks: Vec<Hook>,
    /// What they count.
    pub statistics: Arc<ProbeStatistics>,
    /// How long they ran, where that is measured.
    pub run_times: Arc<RunTimes>,
}

/// Loads the probes, attaches them to the devices that there are, and follows new ones. What is
/// optional and cannot be had is told in [`Probes::hooks`].
///
/// # Errors
/// When privileges, kernel or verifier do not allow it.
pub fn start(config: &ProbeConfig) -> Result<Probes, ProbeError> {
    privilege::check()?;
    let types = btf::KernelTypes::of_running_kernel()?;
    let layout = layout::as_bytes(&layout::kernel_layout(&types)?);
    let settings = layout::settings_as_bytes(&config.settings());
    let reasons = Arc::new(reasons::DropReasons::of(&types)?);

    let mut ebpf = EbpfLoader::new()
        .override_global("KERNEL_LAYOUT", layout.as_slice(), true)
        .override_global("SETTINGS", settings.as_slice(), true)
        .map_max_entries("FLOWS", config.flow_table_entries)
        .load(OBJECT)?;

    let mut reason_table: Array<_, u32> = take_map(&mut ebpf, "REASONS")?.try_into()?;
    let entries = reason_table.len();
    for reason in reasons.not_drops().filter(|&reason| reason < entries) {
        reason_table.set(reason, ReasonClass::NotADrop as u32, 0)?;
    }
    let attacher_maps = AttacherMaps {
        netns: take_map(&mut ebpf, "NETNS")?.try_into()?,
        addresses: take_map(&mut ebpf, "LOCAL_ADDRESSES")?.try_into()?,
        flows: match take_map(&mut ebpf, "FLOWS")? {
            Map::HashMap(data) => data,
            _ => return Err(ProbeError::Object { what: "FLOWS" }),
        },
    };
    let reader_maps = ReaderMaps {
        ring: match take_map(&mut ebpf, "EVENTS")? {
            Map::RingBuf(data) => RingBuffer::new(data)?,
            _ => return Err(ProbeError::Object { what: "EVENTS" }),
        },
        counters: take_map(&mut ebpf, "COUNTERS")?.try_into()?,
        drop_rates: take_map(&mut ebpf, "DROP_RATES")?.try_into()?,
        state: take_map(&mut ebpf, "READER")?.try_into()?,
    };

    // Devices come later, but what each of them needs is to be had.
    links::loaded(&mut ebpf, links::RETIRE)?;
    let kernel_types = aya::Btf::from_sys_fs().map_err(aya::EbpfError::from)?;
    let drops: &mut BtfTracePoint = program_mut(&mut ebpf, "kfree_skb")?;
    let failed = |source| ProbeError::Program {
        program: "kfree_skb",
        source,
    };
    drops.load("kfree_skb", &kernel_types).map_err(failed)?;

    let statistics = Arc::new(ProbeStatistics::default());
    let mut hooks = hooks::start(config, &types, &kernel_types, &statistics);
    let run_times = Arc::new(RunTimes::default());
    let mut measuring = None;
    if config.run_time {
        let (started, state) = Measuring::start(&run_times);
        hooks.rings.measuring = started.as_ref().map(Measuring::reader);
        hooks.states.push(state);
        measuring = started;
    }
    // Before there are more threads: what one of them freed may become a part of what is large here,
    // in that thread's share of memory, whose end cannot be given back.
    drop((types, kernel_types));
    memory::give_back();

    // Devices and namespaces first, so that the first drop finds its namespace known.
    let attacher = Attacher::start(
        ebpf,
        config,
        attacher_maps,
        Arc::clone(&statistics),
        measuring,
    )?;
    let reader = Reader::new(
        reader_maps,
        hooks.rings,
        attacher.ending(),
        Arc::clone(&reasons),
        Arc::clone(&statistics),
    );
    let names = KernelNames::new(
        reasons,
        attacher.namespaces(),
        hooks.processes,
        hooks.conntrack,
    );
    Ok(Probes {
        reader,
        attacher,
        names,
        hooks: hooks.states,
        statistics,
        run_times,
    })
}

fn take_map(ebpf: &mut aya::Ebpf, what: &'static str) -> Result<Map, ProbeError> {
    ebpf.take_map(what).ok_or(ProbeError::Object { what })
}

fn program_mut<'a, P>(ebpf: &'a mut aya::Ebpf, what: &'static str) -> Result<&'a mut P, ProbeError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(what)
        .and_then(|program| program.try_into().ok())
        .ok_or(ProbeError::Object { what })
}

//! Our own eBPF probes: loading, attaching, and reading what they saw.
//!
//! ```text
//!            attacher thread                        pipeline thread
//!   netlink news -> look at devices -> attach     ring buffer -> records
//!                -> look at namespaces -> map <-> whose is this drop?
//! ```

mod attacher;
mod btf;
mod cgroup;
mod clock;
mod devices;
mod hook_rings;
mod hooks;
mod last;
mod layout;
mod names;
mod namespaces;
mod netlink;
mod privilege;
mod processes;
mod reader;
mod reasons;
mod sockets;
mod symbols;
mod tcp;

use std::io;

use aya::{
    EbpfLoader,
    maps::{Array, HashMap as BpfHashMap, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, SchedClassifier},
};
use probe_events::ReasonClass;

pub use self::{
    attacher::Attacher, btf::BtfError, hooks::ProbeConfig, names::KernelNames,
    processes::ProcessTable, reader::Reader,
};
use crate::source::Hook;

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
}

/// Loads the probes, attaches them to the devices that there are, and follows new ones. What is
/// optional and cannot be had is told in [`Probes::hooks`].
///
/// # Errors
/// When privileges, kernel or verifier do not allow it.
pub fn start(config: ProbeConfig) -> Result<Probes, ProbeError> {
    privilege::check()?;
    let types = btf::KernelTypes::of_running_kernel()?;
    let layout = layout::as_bytes(&layout::kernel_layout(&types)?);
    let reasons = reasons::DropReasons::of(&types)?;
    let mut ebpf = EbpfLoader::new()
        .override_global("KERNEL_LAYOUT", layout.as_slice(), true)
        .load(OBJECT)?;

    let mut reason_table: Array<_, u32> = take_map(&mut ebpf, "REASONS")?.try_into()?;
    let entries = reason_table.len();
    for reason in reasons.not_drops().filter(|&reason| reason < entries) {
        reason_table.set(reason, ReasonClass::NotADrop as u32, 0)?;
    }
    let netns: BpfHashMap<_, u64, u32> = take_map(&mut ebpf, "NETNS")?.try_into()?;
    let counters: PerCpuArray<_, u64> = take_map(&mut ebpf, "COUNTERS")?.try_into()?;
    let ring: RingBuf<_> = take_map(&mut ebpf, "EVENTS")?.try_into()?;

    for program in attacher::CLASSIFIERS {
        let classifier: &mut SchedClassifier = program_mut(&mut ebpf, program)?;
        classifier
            .load()
            .map_err(|source| ProbeError::Program { program, source })?;
    }
    let kernel_types = aya::Btf::from_sys_fs().map_err(aya::EbpfError::from)?;
    let drops: &mut BtfTracePoint = program_mut(&mut ebpf, "kfree_skb")?;
    let failed = |source| ProbeError::Program {
        program: "kfree_skb",
        source,
    };
    drops.load("kfree_skb", &kernel_types).map_err(failed)?;

    // Devices and namespaces first, so that the first drop finds its namespace known.
    let attacher = Attacher::start(ebpf, netns)?;
    let hooks = hooks::start(config, &types, &kernel_types);
    let reader = Reader::new(ring, counters, hooks.rings);
    let names = KernelNames::new(reasons, attacher.namespaces(), hooks.processes);
    Ok(Probes {
        reader,
        attacher,
        names,
        hooks: hooks.states,
    })
}

fn take_map(ebpf: &mut aya::Ebpf, what: &'static str) -> Result<aya::maps::Map, ProbeError> {
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

//! The optional programs: loaded each on its own, and what is missing is told, not fatal.

use std::{error::Error, sync::Arc};

use aya::{
    Btf, Ebpf,
    maps::{Map, MapData},
};

use super::{
    ProbeConfig,
    attacher::chain,
    btf::KernelTypes,
    conntrack::{self, Conntrack},
    hook_rings::{HookRing, HookRings},
    processes::ProcessTable,
    ring_buffer::RingBuffer,
    sockets,
    statistics::ProbeStatistics,
    tcp,
};
use crate::source::Hook;

/// Why something is off that would perhaps work.
pub(super) const NOT_ASKED_FOR: &str = "not asked for";

/// What came of starting something optional.
pub(super) fn hook<T, E: Error + 'static>(name: &'static str, result: &Result<T, E>) -> Hook {
    Hook {
        name,
        off: result.as_ref().err().map(|error| chain(error)),
    }
}

/// Something optional that is off for a reason which is no error.
pub(super) fn off(name: &'static str, reason: &str) -> Hook {
    Hook {
        name,
        off: Some(reason.to_owned()),
    }
}

/// Why something optional is off.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// The verifier, or a limit.
    #[error("cannot load the programs")]
    Load(#[from] aya::EbpfError),
    /// As above, for one program.
    #[error("cannot load the program {program}")]
    Program {
        program: &'static str,
        #[source]
        source: aya::programs::ProgramError,
    },
    /// A hook that this kernel does not have, or does not give us.
    #[error("cannot attach the program {program}")]
    Attach {
        program: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// No cgroup v2.
    #[error("cannot open the root of cgroup v2")]
    Cgroup(#[source] std::io::Error),
    /// A kernel whose structures are others.
    #[error("cannot find the way in this kernel")]
    Kernel(#[from] super::BtfError),
    /// The object is not the one this loader was made for; a build gone wrong.
    #[error("the object has no {what}")]
    Object { what: &'static str },
    /// A map refused an operation.
    #[error("cannot set up the maps")]
    Map(#[from] aya::maps::MapError),
}

/// The optional programs as they were started.
#[derive(Default)]
pub(super) struct Hooks {
    /// What they say. Holds them attached, too.
    pub(super) rings: HookRings,
    /// Who is behind a socket.
    pub(super) processes: Option<ProcessTable>,
    /// Which connections are translated.
    pub(super) conntrack: Option<Conntrack>,
    /// What is on and what is off.
    pub(super) states: Vec<Hook>,
}

/// Loads and attaches what `config` wants and the kernel has.
pub(super) fn start(
    config: &ProbeConfig,
    types: &KernelTypes,
    kernel: &Btf,
    statistics: &Arc<ProbeStatistics>,
) -> Hooks {
    let mut hooks = Hooks::default();
    if config.sockets {
        sockets::start(&mut hooks, config.translations);
    } else {
        for name in sockets::ALL {
            hooks.states.push(off(name, NOT_ASKED_FOR));
        }
    }
    if config.tcp {
        tcp::start(&mut hooks, types, kernel);
    } else {
        for name in [tcp::RETRANSMITS, tcp::RESETS] {
            hooks.states.push(off(name, NOT_ASKED_FOR));
        }
    }
    if config.conntrack {
        let started = Conntrack::start(config.conntrack_queue_bytes, Arc::clone(statistics));
        hooks.states.push(hook(conntrack::NAME, &started));
        hooks.conntrack = started.ok();
    } else {
        hooks.states.push(off(conntrack::NAME, NOT_ASKED_FOR));
    }
    hooks
}

/// Takes a map out of an object.
pub(super) fn take<M>(ebpf: &mut Ebpf, what: &'static str) -> Result<M, HookError>
where
    M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(what).ok_or(HookError::Object { what })?;
    Ok(map.try_into()?)
}

/// The program `what` of an object.
pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, what: &'static str) -> Result<&'a mut P, HookError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(what)
        .and_then(|program| program.try_into().ok())
        .ok_or(HookError::Object { what })
}

/// Takes an object's ring and what it counts as lost.
pub(super) fn take_ring(
    ebpf: &mut Ebpf,
    ring: &'static str,
    lost: &'static str,
) -> Result<HookRing, HookError> {
    let Some(Map::RingBuf(data)) = ebpf.take_map(ring) else {
        return Err(HookError::Object { what: ring });
    };
    let ring = RingBuffer::new(data)?;
    let lost: aya::maps::PerCpuArray<MapData, u64> = take(ebpf, lost)?;
    Ok(HookRing::new(ring, lost))
}

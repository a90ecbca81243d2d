//! The programs at the sockets: loading them, and attaching them at the root of cgroup v2.

use std::{fs::File, io::ErrorKind, os::fd::AsFd as _};

use aya::{
    Ebpf, EbpfLoader,
    programs::{CgroupAttachMode, CgroupSock, CgroupSockAddr, SockOps},
};

use super::{
    cgroup::{self, Place},
    hooks::{HookError, Hooks, NOT_ASKED_FOR, hook, off, program, take, take_ring},
    last::{LastProgram, LastPrograms},
    processes::ProcessTable,
};
use crate::source::Hook;

/// Knowing the process behind a socket.
pub(super) const PROCESSES: &str = "sockets";
/// Knowing it for connections that were accepted.
pub(super) const ACCEPTED: &str = "sockets-accepted";
/// Seeing what a load balancer at the socket does.
pub(super) const TRANSLATION: &str = "socket-translation";

/// All of these.
pub(super) const ALL: [&str; 3] = [PROCESSES, ACCEPTED, TRANSLATION];

/// Built by `cargo xtask probes` from the crate `ebpf-probes`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ebpf-probes/sockets.bpf.o"
));

/// A hook of calls that carry an address.
struct Call {
    /// `enum bpf_attach_type`.
    number: u32,
    first: &'static str,
    last: &'static str,
}

const CALLS: [Call; 8] = [
    call(10, "connect4_first", "connect4_last"),
    call(11, "connect6_first", "connect6_last"),
    call(14, "sendmsg4_first", "sendmsg4_last"),
    call(15, "sendmsg6_first", "sendmsg6_last"),
    call(19, "recvmsg4_first", "recvmsg4_last"),
    call(20, "recvmsg6_first", "recvmsg6_last"),
    call(29, "peername4_first", "peername4_last"),
    call(30, "peername6_first", "peername6_last"),
];
/// Of these, those that tell of processes: the kernel does without the others' cost where it
/// cannot show translations.
const CALLS_OUT: usize = 4;
const BOUND: [&str; 2] = ["bound4", "bound6"];

const fn call(number: u32, first: &'static str, last: &'static str) -> Call {
    Call {
        number,
        first,
        last,
    }
}

/// Starts what works, and translations only if they are wanted.
pub(super) fn start(hooks: &mut Hooks, translations: bool) {
    let mut ebpf = match load() {
        Ok(ebpf) => ebpf,
        Err(error) => return nothing(hooks, error),
    };
    let root = match cgroup::open_root().map_err(HookError::Cgroup) {
        Ok(root) => root,
        Err(error) => return nothing(hooks, error),
    };

    let translation = if translations {
        let started = translation(&mut ebpf, &root, hooks);
        translation_state(&started)
    } else {
        off(TRANSLATION, NOT_ASKED_FOR)
    };
    let ordered = translation.off.is_none();
    let processes = processes(&mut ebpf, &root, hooks, ordered);
    let accepted = accepted(&mut ebpf, &root);
    hooks.states.extend([
        hook(PROCESSES, &processes),
        hook(ACCEPTED, &accepted),
        translation,
    ]);
    hooks.rings.objects.push(ebpf);
}

fn translation_state(started: &Result<(), HookError>) -> Hook {
    match started {
        Err(HookError::Attach { source, .. }) if source.kind() == ErrorKind::InvalidInput => off(
            TRANSLATION,
            "the kernel cannot order cgroup programs (Linux 6.15 or later is needed)",
        ),
        started => hook(TRANSLATION, started),
    }
}

fn nothing(hooks: &mut Hooks, error: HookError) {
    let failed: Result<(), _> = Err(error);
    for name in ALL {
        hooks.states.push(hook(name, &failed));
    }
}

fn load() -> Result<Ebpf, HookError> {
    Ok(EbpfLoader::new().load(OBJECT)?)
}

/// Puts a program before and one after all others of each call.
fn translation(ebpf: &mut Ebpf, root: &File, hooks: &mut Hooks) -> Result<(), HookError> {
    let mut first = Vec::with_capacity(CALLS.len());
    let mut last = Vec::with_capacity(CALLS.len());
    for call in &CALLS {
        first.push(ordered(ebpf, root, call.number, call.first, Place::First)?.link);
        last.push(ordered(ebpf, root, call.number, call.last, Place::Last)?);
    }
    let ring = take_ring(ebpf, "SOCKET_EVENTS", "SOCKET_LOST")?;
    let root = root.try_clone().map_err(HookError::Cgroup)?;
    // Only when all are: half a pair would report translations that never were.
    hooks.rings.add(ring);
    hooks.rings.links.append(&mut first);
    hooks.rings.last = Some(LastPrograms::new(root, last));
    Ok(())
}

/// Attaches a program at its place among the others.
fn ordered(
    ebpf: &mut Ebpf,
    root: &File,
    attach_type: u32,
    name: &'static str,
    place: Place,
) -> Result<LastProgram, HookError> {
    let failed = |source| HookError::Program {
        program: name,
        source,
    };
    let attach_failed = |source| HookError::Attach {
        program: name,
        source,
    };
    let program: &mut CgroupSockAddr = loaded(ebpf, name)?;
    let id = program.info().map_err(failed)?.id();
    let program = program.fd().map_err(failed)?.as_fd();
    let link = cgroup::link(program, root.as_fd(), attach_type, place).map_err(attach_failed)?;
    Ok(LastProgram {
        program: program.try_clone_to_owned().map_err(attach_failed)?,
        id,
        attach_type,
        link,
    })
}

/// Fills the tables of processes: connections and datagrams, unless the first program of each
/// hook does so already, and bound ports.
fn processes(
    ebpf: &mut Ebpf,
    root: &File,
    hooks: &mut Hooks,
    ordered: bool,
) -> Result<(), HookError> {
    for call in CALLS.iter().take(if ordered { 0 } else { CALLS_OUT }) {
        let failed = |source| HookError::Program {
            program: call.first,
            source,
        };
        let program: &mut CgroupSockAddr = loaded(ebpf, call.first)?;
        program
            .attach(root, CgroupAttachMode::Single)
            .map_err(failed)?;
    }
    for name in BOUND {
        let failed = |source| HookError::Program {
            program: name,
            source,
        };
        let program: &mut CgroupSock = program(ebpf, name)?;
        program.load().map_err(failed)?;
        program
            .attach(root, CgroupAttachMode::Single)
            .map_err(failed)?;
    }
    let sockets = take(ebpf, "PROCESSES")?;
    let listeners = take(ebpf, "LISTENERS")?;
    hooks.processes = Some(ProcessTable::new(sockets, listeners));
    Ok(())
}

/// Fills the table of processes with accepted connections.
fn accepted(ebpf: &mut Ebpf, root: &File) -> Result<(), HookError> {
    const NAME: &str = "accepts";
    let failed = |source| HookError::Program {
        program: NAME,
        source,
    };
    let program: &mut SockOps = program(ebpf, NAME)?;
    program.load().map_err(failed)?;
    program
        .attach(root, CgroupAttachMode::Single)
        .map_err(failed)?;
    Ok(())
}

/// The program `name`, loaded if it was not.
fn loaded<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut CgroupSockAddr, HookError> {
    let program: &mut CgroupSockAddr = program(ebpf, name)?;
    match program.load() {
        Ok(()) | Err(aya::programs::ProgramError::AlreadyLoaded) => Ok(program),
        Err(source) => Err(HookError::Program {
            program: name,
            source,
        }),
    }
}

//! Staying last: a load balancer that starts after the agent comes after its programs, and would go
//! unseen.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};

use tracing::{debug, info};

use super::cgroup::{self, Place};

/// How often the order is looked at: eight system calls.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The programs that are to be last, each on its hook.
pub(super) struct LastPrograms {
    root: File,
    programs: Vec<LastProgram>,
    looked_at: Instant,
}

/// One of them. It is detached when the link is closed.
pub(super) struct LastProgram {
    pub(super) program: OwnedFd,
    /// The kernel's number for it.
    pub(super) id: u32,
    pub(super) attach_type: u32,
    pub(super) link: OwnedFd,
}

impl LastPrograms {
    pub(super) fn new(root: File, programs: Vec<LastProgram>) -> Self {
        Self {
            root,
            programs,
            looked_at: Instant::now(),
        }
    }

    /// Attaches anew what is no longer last, if it is time to look.
    pub(super) fn stay(&mut self) {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        for program in &mut self.programs {
            if let Err(error) = program.stay(&self.root) {
                debug!(%error, "cannot keep a program at the sockets last, trying again");
            }
        }
    }
}

impl LastProgram {
    fn stay(&mut self, root: &File) -> io::Result<()> {
        let order = cgroup::programs(root.as_fd(), self.attach_type)?;
        let later = order.iter().skip_while(|&&id| id != self.id).skip(1);
        if !later.copied().any(changes_addresses) {
            return Ok(());
        }
        // The new link before the old one goes: in between the program runs twice, and finds
        // nothing to compare the second time.
        self.link = cgroup::link(
            self.program.as_fd(),
            root.as_fd(),
            self.attach_type,
            Place::Last,
        )?;
        info!(
            hook = self.attach_type,
            "a program at the sockets is last again"
        );
        Ok(())
    }
}

/// Other agents' last programs only watch. Two that overtook each other would never end.
fn changes_addresses(id: u32) -> bool {
    let name = aya::programs::loaded_programs()
        .flatten()
        .find(|program| program.id() == id);
    !name.is_some_and(|program| {
        program
            .name_as_str()
            .is_some_and(|name| name.ends_with("_last"))
    })
}

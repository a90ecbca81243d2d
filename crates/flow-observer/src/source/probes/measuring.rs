//! Having the kernel measure how long programs run.
//!
//! It does so for all programs of the host, of whomever they are, for as long as somebody holds the
//! descriptor that asks for it, or its setting says so. Each run then reads the clock twice.

use std::{
    fs,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    sys::{Stats, SyscallError, enable_stats},
};

use super::hooks::hook;
use crate::source::{Hook, RunTime, RunTimes};

/// What status and metrics call it.
pub(super) const NAME: &str = "probe-time";

/// The setting by which an administrator has it measured at any time.
const SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// How often the totals are read.
const READ_EVERY: Duration = Duration::from_secs(1);

/// Measures as long as it is there.
pub(super) struct Measuring {
    /// `None` where the kernel measures by its setting.
    _asked: Option<OwnedFd>,
    times: Arc<RunTimes>,
}

impl Measuring {
    /// Asks the kernel. What came of it is told as a hook.
    pub(super) fn start(times: &Arc<RunTimes>) -> (Option<Self>, Hook) {
        let asked = match enable_stats(Stats::RunTime) {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(_) if measures_by_setting() => Ok(None),
            Err(error) => Err::<_, SyscallError>(error),
        };
        let state = hook(NAME, &asked);
        let measuring = asked.ok().map(|asked| Self {
            _asked: asked,
            times: Arc::clone(times),
        });
        (measuring, state)
    }

    /// For those who read the totals of objects.
    pub(super) fn reader(&self) -> MeasuringReader {
        MeasuringReader {
            times: Arc::clone(&self.times),
            read_at: None,
        }
    }
}

fn measures_by_setting() -> bool {
    fs::read_to_string(SETTING).is_ok_and(|it| it.trim() == "1")
}

/// Reads totals now and then.
pub(super) struct MeasuringReader {
    times: Arc<RunTimes>,
    read_at: Option<Instant>,
}

impl MeasuringReader {
    /// Reads those of the programs that are loaded, if it is time to.
    pub(super) fn read<'a>(&mut self, objects: impl IntoIterator<Item = &'a Ebpf>) {
        if self.read_at.is_some_and(|it| it.elapsed() < READ_EVERY) {
            return;
        }
        self.read_at = Some(Instant::now());
        for (name, program) in objects.into_iter().flat_map(Ebpf::programs) {
            // One that is not loaded has not run.
            if let Ok(info) = program.info() {
                let run_time = RunTime {
                    runs: info.run_count(),
                    time: info.run_time(),
                };
                self.times.set(name, run_time);
            }
        }
    }
}

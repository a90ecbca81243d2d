//! What the system says of this process, under the names that Prometheus' own libraries give it.

use std::fs;

/// The clock in which the kernel tells times to programs; the same on all platforms that it knows.
const TICKS_PER_SECOND: f64 = 100.0;

/// Numbers of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    /// Time on a processor.
    pub(crate) cpu_seconds: f64,
    /// Memory that is in use.
    pub(crate) resident_bytes: u64,
    /// Open files and sockets.
    pub(crate) open_files: u64,
}

impl Process {
    /// As of now; `None` where the system does not tell.
    pub(crate) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Some(Self {
            cpu_seconds: cpu_seconds(&stat)?,
            resident_bytes: resident_bytes(&status)?,
            open_files: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        })
    }
}

/// Fields 14 and 15, counted after the name, which may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_understood() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 77 8 9";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(
            resident_bytes("VmPeak:\t9 kB\nVmRSS:\t  12 kB\n"),
            Some(12 * 1024)
        );
        let process = Process::now().unwrap();
        assert!(process.resident_bytes > 0 && process.open_files > 2);
    }
}

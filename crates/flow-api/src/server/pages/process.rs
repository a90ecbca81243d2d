//! What the system says of this process, under the names that Prometheus' own libraries give it; and
//! which build it is.

use std::{fmt, fs};

use nix::sys::resource::{Resource, getrlimit};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// The clock in which the kernel tells times to programs; the same on all platforms that it knows.
const TICKS_PER_SECOND: f64 = 100.0;

/// The version of all crates of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Collects `process_…` and `palomar_build_info`, anew at each scrape.
#[derive(Clone, Copy, Debug)]
pub struct ProcessNumbers;

impl Collector for ProcessNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let build = encoder.encode_descriptor(
            "palomar_build_info",
            "The version that runs; always 1.",
            None,
            MetricType::Gauge,
        );
        ConstGauge::new(1).encode(build?.encode_family(&[("version", VERSION)])?)?;
        let Some(process) = Process::now() else {
            return Ok(());
        };
        let cpu = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Time on a processor, in seconds.",
            None,
            MetricType::Counter,
        );
        ConstCounter::new(process.cpu_seconds).encode(cpu?)?;
        let sizes = [
            (
                "process_resident_memory_bytes",
                "Memory that is in use.",
                Some(process.resident_bytes),
            ),
            (
                "process_virtual_memory_bytes",
                "Memory that is mapped, whether it is in use or not.",
                Some(process.virtual_bytes),
            ),
            (
                "process_open_fds",
                "Open files and sockets.",
                Some(process.open_files),
            ),
            (
                "process_max_fds",
                "Files and sockets that may be open at the same time.",
                process.max_files,
            ),
        ];
        for (name, help, size) in sizes {
            if let Some(size) = size {
                let size = i64::try_from(size).unwrap_or(i64::MAX);
                gauge(&mut encoder, name, help, size)?;
            }
        }
        if let Some(started) = process.started_seconds {
            let help = "When it was started, in seconds since 1970.";
            gauge(&mut encoder, "process_start_time_seconds", help, started)?;
        }
        Ok(())
    }
}

fn gauge<N>(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: N) -> fmt::Result
where
    ConstGauge<N>: EncodeMetric,
{
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// Numbers of this process.
#[derive(Clone, Copy, Debug)]
struct Process {
    /// Time on a processor.
    cpu_seconds: f64,
    /// Since 1970; `None` where the system does not tell when it was started itself.
    started_seconds: Option<f64>,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_files: u64,
    max_files: Option<u64>,
}

impl Process {
    /// As of now; `None` where the system does not tell.
    fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok();
        let boot_seconds = boot.as_deref().and_then(boot_seconds);
        // The one that reads the folder is open meanwhile.
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(Self {
            cpu_seconds: (ticks(&stat, USER_TIME)? + ticks(&stat, SYSTEM_TIME)?) / TICKS_PER_SECOND,
            started_seconds: boot_seconds
                .zip(ticks(&stat, START_TIME))
                .map(|(boot, ticks)| boot + ticks / TICKS_PER_SECOND),
            resident_bytes: bytes(&status, "VmRSS:")?,
            virtual_bytes: bytes(&status, "VmSize:")?,
            open_files: open_files.saturating_sub(1),
            max_files: getrlimit(Resource::RLIMIT_NOFILE)
                .ok()
                .map(|(soft, _)| soft),
        })
    }
}

/// Fields of `/proc/PID/stat`, as proc(5) numbers them.
const USER_TIME: usize = 14;
const SYSTEM_TIME: usize = 15;
const START_TIME: usize = 22;

/// A field, counted after the name, which may hold anything.
fn ticks(stat: &str, field: usize) -> Option<f64> {
    const FIRST_AFTER_NAME: usize = 3;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let field = after_name.split(' ').nth(field - FIRST_AFTER_NAME)?;
    field.parse().ok()
}

/// A size of `/proc/PID/status`.
fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// When the system was started, by `/proc/stat`.
fn boot_seconds(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|it| it.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_system_is_understood() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 77 8 9";
        assert_eq!(ticks(stat, USER_TIME), Some(250.0));
        assert_eq!(ticks(stat, SYSTEM_TIME), Some(50.0));
        assert_eq!(ticks(stat, START_TIME), Some(77.0));
        let status = "VmPeak:\t9 kB\nVmRSS:\t  12 kB\n";
        assert_eq!(bytes(status, "VmRSS:"), Some(12 * 1024));
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1000\n"), Some(1000.0));
    }

    #[test]
    fn this_process_is_as_young_as_it_is() {
        let process = Process::now().unwrap();
        assert!(process.virtual_bytes >= process.resident_bytes && process.resident_bytes > 0);
        assert!(process.open_files > 2 && process.max_files.unwrap() >= process.open_files);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - process.started_seconds.unwrap();
        // The kernel rounds the time of its own start to a second.
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}

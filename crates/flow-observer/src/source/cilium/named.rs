//! Names of this host's devices, for a source whose events tell devices by number.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use foldhash::HashMap;

use crate::{
    counters::StageCount,
    source::{LocalDevices, Progress, RawEvent, Source, SourceError},
};

/// Where the kernel lists the devices.
const DEVICES: &str = "/sys/class/net";
/// How old the names may be: pods' devices come and go, but a name is only a convenience.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A source, beside which the devices are looked at from time to time.
pub(crate) struct Named<S> {
    source: S,
    devices: Arc<ArcSwap<LocalDevices>>,
    looked_at: Instant,
}

impl<S> Named<S> {
    pub(crate) fn new(source: S) -> Self {
        let devices = Arc::new(ArcSwap::from_pointee(look(Path::new(DEVICES))));
        Self {
            source,
            devices,
            looked_at: Instant::now(),
        }
    }

    pub(crate) fn devices(&self) -> Arc<ArcSwap<LocalDevices>> {
        Arc::clone(&self.devices)
    }
}

impl<S: Source> Source for Named<S> {
    fn poll(
        &mut self,
        patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        if self.looked_at.elapsed() >= LOOK_EVERY {
            self.looked_at = Instant::now();
            let found = look(Path::new(DEVICES));
            if **self.devices.load() != found {
                self.devices.store(Arc::new(found));
            }
        }
        self.source.poll(patience, limit, sink)
    }

    fn wall_clock_offset_ns(&mut self) -> i64 {
        self.source.wall_clock_offset_ns()
    }

    fn counts(&mut self) -> Vec<StageCount> {
        self.source.counts()
    }
}

/// What cannot be read has no name.
fn look(folder: &Path) -> LocalDevices {
    let names: HashMap<u32, Arc<str>> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|device| {
            let index = fs::read_to_string(device.path().join("ifindex")).ok()?;
            let name = device.file_name().to_string_lossy().into();
            Some((index.trim().parse().ok()?, name))
        })
        .collect();
    LocalDevices {
        names,
        ..LocalDevices::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_by_number_and_what_is_no_device_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for (name, index) in [("eth0", "2\n"), ("lxc1", "17\n"), ("odd", "x")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("ifindex"), index).unwrap();
        }
        fs::write(folder.path().join("bonding_masters"), "").unwrap();
        let names = look(folder.path()).names;
        assert_eq!(names.len(), 2);
        assert_eq!((&*names[&2], &*names[&17]), ("eth0", "lxc1"));
        assert_eq!(look(&folder.path().join("absent")), LocalDevices::default());
    }
}

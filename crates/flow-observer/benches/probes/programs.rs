//! The programs that are measured: those of the probes, and the least that such programs can be.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, RingBuf},
    programs::{
        ProgramInfo, SchedClassifier, TestRun as _, TestRunOptions,
        tc::{SchedClassifierLink, TcAttachType},
    },
};
use nix::net::if_::if_nameindex;
use testbed::Node;

static FLOOR: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ebpf-probes/floor.bpf.o"
));

const DIRECTIONS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];

/// A program of the floor, loaded.
pub(crate) struct Floor {
    ebpf: Ebpf,
    name: &'static str,
    ring: RingBuf<MapData>,
}

impl Floor {
    pub(crate) fn load(name: &'static str) -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(FLOOR).context("cannot load")?;
        let ring = ebpf.take_map("EVENTS").context("no ring")?.try_into()?;
        let mut floor = Self { ebpf, name, ring };
        floor.program()?.load()?;
        Ok(floor)
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    pub(crate) fn program(&mut self) -> Result<&mut SchedClassifier> {
        let program = self.ebpf.program_mut(self.name).context("no program")?;
        Ok(program.try_into()?)
    }

    /// Attaches to both directions of the pods' devices.
    pub(crate) fn attach(&mut self, node: &Node) -> Result<Vec<SchedClassifierLink>> {
        let program = self.program()?;
        node.namespace().run(|| {
            let mut links = Vec::new();
            for device in pod_devices()? {
                for direction in DIRECTIONS {
                    let link = program.attach(&device, direction)?;
                    links.push(program.take_link(link)?);
                }
            }
            Ok(links)
        })
    }

    /// Takes what is in the ring, and tells how many records that were.
    pub(crate) fn drain(&mut self) -> usize {
        let mut count = 0;
        while self.ring.next().is_some() {
            count += 1;
        }
        count
    }
}

/// The programs that are attached to the pods' devices, each once.
pub(crate) fn attached(node: &Node) -> Result<Vec<ProgramInfo>> {
    node.namespace().run(|| {
        let mut found: Vec<ProgramInfo> = Vec::new();
        for device in pod_devices()? {
            for direction in DIRECTIONS {
                for program in SchedClassifier::query_tcx(&device, direction)?.1 {
                    if found.iter().all(|it| it.id() != program.id()) {
                        found.push(program);
                    }
                }
            }
        }
        ensure!(!found.is_empty(), "no programs on the pods' devices");
        Ok(found)
    })
}

/// A program that somebody else in this process has loaded.
pub(crate) fn classifier(info: ProgramInfo) -> Result<SchedClassifier> {
    Ok(SchedClassifier::from_program_info(
        info,
        "classifier".into(),
    )?)
}

/// Runs a program on a packet, and tells what a run took as the kernel measures it.
pub(crate) fn test_run(program: &SchedClassifier, packet: &[u8], runs: u32) -> Result<Duration> {
    let result = program.test_run(TestRunOptions {
        data_in: Some(packet),
        repeat: runs,
        ..TestRunOptions::default()
    })?;
    Ok(result.duration)
}

/// The devices behind which the pods of this thread's network namespace are.
fn pod_devices() -> Result<Vec<String>> {
    let names = if_nameindex()?;
    let devices = names
        .iter()
        .filter_map(|it| it.name().to_str().ok())
        .filter(|name| name.starts_with("veth"))
        .map(str::to_owned)
        .collect();
    Ok(devices)
}

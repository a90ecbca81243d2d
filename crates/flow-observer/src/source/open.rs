//! Opening a source, with what belongs to it.

use std::sync::Arc;

use arc_swap::ArcSwap;

#[cfg(feature = "probes")]
use super::cilium::map::{DEFAULT_PAGES, EventMap};
use super::{
    HostFacts, LocalDevices, RunTimes, Source, SourceError, SourceOptions, SourceSpec,
    cilium::{MonitorSocket, Named},
    pcap::Pcap,
    replay::Replay,
};

/// A source at work.
pub struct Opened {
    /// Hands out events.
    pub source: Box<dyn Source>,
    /// What the host knows about the numbers in them.
    pub facts: Box<dyn HostFacts>,
    /// The host's devices.
    pub devices: Arc<ArcSwap<LocalDevices>>,
    /// Which of its parts are on.
    pub hooks: Vec<Hook>,
    /// How long its programs in the kernel ran, where that is measured.
    pub run_times: Arc<RunTimes>,
    /// Keeps the source going; dropped after it.
    pub(crate) guard: Option<Box<dyn Send>>,
}

/// For events that hold none of the kernel's own numbers.
struct NoFacts;

impl HostFacts for NoFacts {}

impl Opened {
    /// A file, which tells everything itself.
    fn file(source: impl Source + 'static) -> Self {
        Self {
            source: Box::new(source),
            facts: Box::new(NoFacts),
            devices: Arc::default(),
            hooks: Vec::new(),
            run_times: Arc::default(),
            guard: None,
        }
    }

    /// A source of Cilium's records.
    fn cilium(source: impl Source + 'static) -> Self {
        let source = Named::new(source);
        Self {
            facts: Box::new(NoFacts),
            devices: source.devices(),
            source: Box::new(source),
            hooks: Vec::new(),
            run_times: Arc::default(),
            guard: None,
        }
    }
}

/// A part of a source that can be on or off on its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hook {
    /// Its name, as in `tcp-retransmits`.
    pub name: &'static str,
    /// Why it is off; `None` when it is on.
    pub off: Option<String>,
}

/// Why a source cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The probes are not running.
    #[cfg(feature = "probes")]
    #[error(transparent)]
    Probes(#[from] super::probes::ProbeError),
    /// Cilium's event map cannot be read.
    #[cfg(feature = "probes")]
    #[error(transparent)]
    EventMap(#[from] super::cilium::map::EventMapError),
    /// A file cannot be read, or is none of the kind.
    #[error(transparent)]
    File(#[from] SourceError),
    /// `--source none` has no events to read.
    #[error("there is nothing to read from --source none")]
    Nothing,
    /// This build has no probes.
    #[cfg(not(feature = "probes"))]
    #[error("this build cannot use --source {0}: rebuild with the feature `probes`")]
    NotBuilt(SourceSpec),
}

/// Opens what `options` name. `None` for the source that is none.
///
/// # Errors
/// When it is not there, or may not be used.
pub(crate) fn open(options: &SourceOptions) -> Result<Option<Opened>, OpenError> {
    match &options.spec {
        SourceSpec::None => Ok(None),
        #[cfg(feature = "probes")]
        SourceSpec::Probes => {
            let probes = super::probes::start(&options.probes)?;
            Ok(Some(Opened {
                source: Box::new(probes.reader),
                facts: Box::new(probes.names),
                devices: probes.attacher.devices(),
                hooks: probes.hooks,
                run_times: probes.run_times,
                guard: Some(Box::new(probes.attacher)),
            }))
        }
        SourceSpec::Cilium(socket) => Ok(Some(Opened::cilium(MonitorSocket::new(socket)))),
        #[cfg(feature = "probes")]
        SourceSpec::CiliumMap(path) => {
            let map = EventMap::open(path, options.take_over, DEFAULT_PAGES)?;
            Ok(Some(Opened::cilium(map)))
        }
        SourceSpec::Pcap(path) => Ok(Some(Opened::file(Pcap::open(path, options.pace())?))),
        SourceSpec::Replay(path) => Ok(Some(Opened::file(Replay::open(path, options.pace())?))),
        #[cfg(not(feature = "probes"))]
        SourceSpec::Probes | SourceSpec::CiliumMap(_) => {
            Err(OpenError::NotBuilt(options.spec.clone()))
        }
    }
}

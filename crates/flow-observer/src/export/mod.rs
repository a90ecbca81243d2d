//! Flows as files of JSON: one event a line, as Hubble's exporter writes them.
//!
//! In: what the ring holds, read by each exporter at its own position. Out: lines in files, or on
//! standard output. One exporter may be configured once and for all, others by a file that is read
//! again when it changes.

mod aggregate;
mod backups;
mod config;
mod counts;
mod dynamic;
mod exporter;
mod fault;
mod feed;
mod file;
mod intake;
mod keeper;
mod lines;
mod sink;
mod spec;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tracing::{info, warn};

pub use config::ConfigError;
pub use counts::{Applied, ExportCounts, ExporterStatus};
pub use feed::StartError;
pub use intake::Intake;
pub use lines::LineForm;
pub use spec::{
    Compression, DEFAULT_MAX_BACKUPS, DEFAULT_MAX_SIZE_MB, Rotation, Spec, SpecError, SyncPolicy,
    Target,
};

pub(crate) use feed::Feed;

use crate::{encode::NodeFacts, ring::FlowRing};
use dynamic::Dynamic;
use exporter::Exporter;

/// What the exporter of the command line is called.
pub const STATIC: &str = "static";

/// How long an exporter may take to write what is left when the process ends.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is exported.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// One exporter that is always there.
    pub fixed: Option<Spec>,
    /// A file that tells of others, and may change.
    pub file: Option<PathBuf>,
    /// When what was written is made to outlast a loss of power.
    pub sync: SyncPolicy,
}

/// Exporters at work.
#[derive(Debug)]
pub(crate) struct Exporters {
    feed: Feed,
    fixed: Option<Exporter>,
    dynamic: Option<Dynamic>,
}

impl Exporters {
    /// Starts those that are configured. A file of exporters that is broken is told, and read again
    /// when it changes.
    pub(crate) fn start(config: Config, feed: Feed) -> Result<Self, StartError> {
        let sync = config.sync;
        let taken = config.fixed.as_ref().map(|spec| spec.target.clone());
        let fixed = config
            .fixed
            .map(|spec| {
                info!(target = %spec.target, "exporting flows");
                Exporter::start(&spec, false, sync, &feed, Some(feed.beginning()))
            })
            .transpose()?;
        let dynamic = config
            .file
            .map(|path| Dynamic::start(path, sync, feed.clone(), taken))
            .transpose()?;
        Ok(Self {
            feed,
            fixed,
            dynamic,
        })
    }

    /// Ends all of them when they have written what is in the ring, or after a while. Blocks.
    pub(crate) fn stop(self) {
        let mut exporters: Vec<_> = self.fixed.into_iter().collect();
        exporters.extend(self.dynamic.into_iter().flat_map(Dynamic::stop));
        for exporter in &exporters {
            exporter.close();
        }
        let mut lines = 0;
        for exporter in exporters {
            let counts = exporter.counts();
            match exporter.join(PATIENCE) {
                Some(positions) => {
                    let left = self.feed.rings.iter().zip(positions);
                    let left: u64 = left.map(|(ring, at)| ring.end().saturating_sub(at)).sum();
                    if left > 0 {
                        counts.lost("closing", left);
                    }
                }
                None => warn!("an exporter could not write what was left"),
            }
            lines += counts.lines();
        }
        let lost: u64 = self.feed.counts.exporters().iter().map(|it| it.lost).sum();
        if lines > 0 || lost > 0 {
            info!(lines, lost, "export ended");
        }
    }
}

/// Exports what is in a ring, and ends. For benchmarks.
///
/// # Errors
/// When the exporter cannot start.
#[doc(hidden)]
pub fn export_ring(ring: &Arc<FlowRing>, spec: &Spec, node_name: &str) -> Result<(), StartError> {
    let feed = Feed {
        rings: vec![Arc::clone(ring)],
        node: Arc::new(NodeFacts {
            name: node_name.to_owned(),
            directory: None,
        }),
        plain_node_name: node_name.to_owned(),
        counts: Arc::default(),
    };
    let exporter = Exporter::start(
        spec,
        false,
        SyncPolicy::Never,
        &feed,
        Some(feed.beginning()),
    )?;
    exporter.close();
    drop(exporter.join(Duration::MAX));
    Ok(())
}

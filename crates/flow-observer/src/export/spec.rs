//! What an exporter is to do, as it was configured, and the same compiled.

use std::{path::PathBuf, time::Duration};

use flow_api::flow::FlowFilter;
use flow_filter::{Filter, FilterError};

use crate::serve::Mask;

/// The word that means standard output where a file is named.
const STDOUT: &str = "stdout";

/// What Hubble rotates at unless told otherwise.
pub const DEFAULT_MAX_SIZE_MB: u64 = 10;
/// How many rotated files Hubble keeps unless told otherwise.
pub const DEFAULT_MAX_BACKUPS: usize = 5;

/// One exporter: which events go where, and in which form.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What status, metrics and log call it.
    pub name: String,
    /// Where the lines go.
    pub target: Target,
    /// Events that are wanted; all of them if there are none.
    pub allow: Vec<FlowFilter>,
    /// Events that are not.
    pub deny: Vec<FlowFilter>,
    /// The fields of flows to keep; all of them if there are none.
    pub field_mask: Vec<String>,
    /// The fields by which flows are counted instead of told; with the interval.
    pub field_aggregate: Vec<String>,
    /// How often the counts are told; zero for never, which tells each flow.
    pub aggregation_interval: Duration,
    /// When the file is rotated, and what becomes of old ones.
    pub rotation: Rotation,
    /// From then on nothing is exported; nanoseconds since 1970.
    pub end_ns: Option<i64>,
}

impl Spec {
    /// Everything, to a target, as Hubble does it by default.
    #[must_use]
    pub fn new(name: &str, target: Target) -> Self {
        Self {
            name: name.to_owned(),
            target,
            allow: Vec::new(),
            deny: Vec::new(),
            field_mask: Vec::new(),
            field_aggregate: Vec::new(),
            aggregation_interval: Duration::ZERO,
            rotation: Rotation::default(),
            end_ns: None,
        }
    }

    /// Whether flows are counted instead of told.
    pub(super) fn aggregates(&self) -> bool {
        !self.field_aggregate.is_empty() && !self.aggregation_interval.is_zero()
    }

    /// The same with its lists in one order: which exporter it is does not depend on that.
    pub(super) fn sorted(&self) -> Self {
        fn by_text<T: std::fmt::Debug>(list: &mut [T]) {
            list.sort_by_cached_key(|it| format!("{it:?}"));
        }
        let mut sorted = self.clone();
        by_text(&mut sorted.allow);
        by_text(&mut sorted.deny);
        by_text(&mut sorted.field_mask);
        by_text(&mut sorted.field_aggregate);
        sorted
    }

    /// Compiles filters and masks.
    pub(super) fn compile(&self) -> Result<Plan, SpecError> {
        let mask = |paths: &[String]| {
            Mask::compile(paths).map_err(|_invalid| {
                let bad = paths
                    .iter()
                    .find(|&path| Mask::compile(std::slice::from_ref(path)).is_err());
                SpecError::FieldMask(bad.cloned().unwrap_or_default())
            })
        };
        Ok(Plan {
            filter: Filter::compile(&self.allow, &self.deny)?,
            mask: mask(&self.field_mask)?,
            aggregate: mask(&self.field_aggregate)?.filter(|_| self.aggregates()),
        })
    }

    /// Whether an exporter can be made of it.
    ///
    /// # Errors
    /// For a filter that means nothing, or a field that flows do not have.
    pub fn check(&self) -> Result<(), SpecError> {
        self.compile().map(drop)
    }
}

/// What of a [`Spec`] is looked at for each event.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) filter: Filter,
    pub(super) mask: Option<Mask>,
    pub(super) aggregate: Option<Mask>,
}

/// Where lines go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, which is appended to.
    File(PathBuf),
}

impl Target {
    /// What a name means: `stdout`, or a path.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            STDOUT => Self::Stdout,
            path => Self::File(path.into()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => formatter.write_str(STDOUT),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

/// When a file is rotated, and what becomes of the old ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// It grows to so many bytes at most; 0 for no bound.
    pub max_bytes: u64,
    /// It is in use for so long at most; zero for no bound.
    pub max_age: Duration,
    /// So many rotated files are kept; 0 for all.
    pub max_backups: usize,
    /// How rotated files are packed.
    pub compression: Compression,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            max_bytes: DEFAULT_MAX_SIZE_MB << 20,
            max_age: Duration::ZERO,
            max_backups: DEFAULT_MAX_BACKUPS,
            compression: Compression::None,
        }
    }
}

/// How rotated files are packed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As `.gz`.
    Gzip,
    /// As `.zst`.
    Zstd,
}

/// When what was written is made to outlast a loss of power. Killing the process loses nothing of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SyncPolicy {
    /// When the system likes to, within half a minute on most. Packed files are synced all the same
    /// before the file that they were made of is removed.
    #[default]
    Never,
    /// When a file is rotated, and at the end.
    Rotation,
    /// So often, too.
    Every(Duration),
}

/// Why an exporter cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A filter means nothing.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A path of a mask leads to no field of a flow.
    #[error("invalid fieldmask {0:?}: flows have no such field")]
    FieldMask(String),
}

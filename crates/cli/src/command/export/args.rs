//! What to write where: what was typed.

use anyhow::Context as _;
use flow_observer::export::{Rotation, STATIC, Spec, SyncPolicy, Target};
use prost_types::Timestamp;

use crate::{
    command::{
        agent::export::{compression, fields, sync},
        duration,
    },
    filters::raw,
    flags::{Accept, Flag, Section, Takes, ValueError, value},
    settings::ServerArgs,
    since,
};

/// The flags about the file.
pub(crate) const SECTION: Section = Section {
    heading: "Export Flags",
    flags: &[
        Flag::value(
            "file",
            "PATH",
            "Write flows to this file, one JSON object a line; stdout for standard output",
        ),
        Flag::value(
            "file-max-size-mb",
            "MB",
            "Rotate the file before it is larger than so many MB; 0 for never [default: 10]",
        ),
        Flag::value(
            "file-max-age",
            "DURATION",
            "Rotate the file when it is in use for so long, as in 24h [default: never]",
        ),
        Flag::value(
            "file-max-backups",
            "N",
            "How many rotated files to keep; 0 for all [default: 5]",
        ),
        Flag {
            long: "file-compress",
            short: None,
            takes: Takes::Optional("gzip"),
            help: "Pack rotated files: gzip (also without a value), zstd or none",
        },
        Flag::value(
            "allowlist",
            "FILTERS",
            "Write only flows that match one of these filters: FlowFilter messages in JSON, one behind the other",
        ),
        Flag::value(
            "denylist",
            "FILTERS",
            "Do not write flows that match one of these filters",
        ),
        Flag::value(
            "fieldmask",
            "FIELDS",
            "Fields of flows to write, as in time,verdict,source.pod_name [default: all]",
        ),
        Flag::value(
            "fieldaggregate",
            "FIELDS",
            "Count flows by these fields instead of writing each; needs --aggregation-interval",
        ),
        Flag::value(
            "aggregation-interval",
            "DURATION",
            "How often to write these counts",
        ),
        Flag::value(
            "fsync",
            "WHEN",
            "When to make what was written outlast a loss of power: never, rotation, or as often as in 1s [default: never]",
        ),
        Flag::value(
            "since",
            "TIME",
            "Where to begin when the file has no flows yet, as in 1h or a time [default: now]",
        ),
    ],
};

/// What was typed.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) server: ServerArgs,
    file: String,
    rotation: Rotation,
    allow: Vec<String>,
    deny: Vec<String>,
    field_mask: Vec<String>,
    field_aggregate: Vec<String>,
    aggregation_interval: std::time::Duration,
    pub(crate) sync: SyncPolicy,
    pub(crate) since: Option<Timestamp>,
}

impl Accept for Args {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        let refused = |error: anyhow::Error| ValueError::new(error.to_string());
        let time = || duration(text).map_err(refused);
        let number = || value::unsigned(text, value::Base::Ten, u64::BITS);
        match flag.long {
            "file" => text.clone_into(&mut self.file),
            "file-max-size-mb" => {
                let megabytes = number()?;
                self.rotation.max_bytes = megabytes.saturating_mul(1 << 20);
            }
            "file-max-age" => self.rotation.max_age = time()?,
            "file-max-backups" => {
                let backups = number()?;
                self.rotation.max_backups = usize::try_from(backups).unwrap_or(usize::MAX);
            }
            "file-compress" => self.rotation.compression = compression(text).map_err(refused)?,
            "allowlist" => self.allow.push(text.to_owned()),
            "denylist" => self.deny.push(text.to_owned()),
            "fieldmask" => self.field_mask.push(text.to_owned()),
            "fieldaggregate" => self.field_aggregate.push(text.to_owned()),
            "aggregation-interval" => self.aggregation_interval = time()?,
            "fsync" => self.sync = sync(text).map_err(refused)?,
            "since" => {
                let time = since::parse(text);
                self.since = Some(time.map_err(|error| ValueError::new(error.to_string()))?);
            }
            _ => return self.server.accept(flag, text),
        }
        Ok(true)
    }
}

impl Args {
    /// The exporter, if a file was named.
    pub(crate) fn spec(&self) -> anyhow::Result<Option<Spec>> {
        if self.file.is_empty() {
            return Ok(None);
        }
        let spec = Spec {
            allow: raw::parse("allowlist", &self.allow)?,
            deny: raw::parse("denylist", &self.deny)?,
            field_mask: fields("--fieldmask", &self.field_mask)?,
            field_aggregate: fields("--fieldaggregate", &self.field_aggregate)?,
            aggregation_interval: self.aggregation_interval,
            rotation: self.rotation,
            ..Spec::new(STATIC, Target::named(&self.file))
        };
        spec.check().context("cannot export flows")?;
        Ok(Some(spec))
    }
}

//! Which flows are written to files: what was typed.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::ArgAction;
use flow_observer::export::{
    Compression, Config, DEFAULT_MAX_BACKUPS, DEFAULT_MAX_SIZE_MB, Rotation, STATIC, Spec,
    SyncPolicy, Target,
};

use crate::{command::duration, filters::raw};

/// The flags about one exporter; Hubble's names mean the same.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Export")]
#[group(skip)]
struct ExporterArgs {
    /// Write flows to this file, one JSON object a line; `stdout` for standard output
    #[arg(
        long = "export-file",
        alias = "hubble-export-file-path",
        value_name = "PATH"
    )]
    file: Option<String>,

    /// Rotate the file before it is larger than so many MB (of 1,048,576 bytes); 0 for never
    #[arg(long = "export-file-max-size-mb", alias = "hubble-export-file-max-size-mb",
          value_name = "MB", default_value_t = DEFAULT_MAX_SIZE_MB)]
    max_size_mb: u64,

    /// Rotate the file when it is in use for so long, as in 24h; 0s for never
    #[arg(long = "export-file-max-age", value_name = "DURATION", default_value = "0s",
          value_parser = duration)]
    max_age: Duration,

    /// How many rotated files to keep; 0 for all
    #[arg(long = "export-file-max-backups", alias = "hubble-export-file-max-backups",
          value_name = "N", default_value_t = DEFAULT_MAX_BACKUPS)]
    max_backups: usize,

    /// Pack rotated files: `gzip` (also as `true`), `zstd` or `none`
    #[arg(long = "export-file-compress", alias = "hubble-export-file-compress",
          value_name = "HOW", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "none", default_missing_value = "gzip", value_parser = compression)]
    compress: Compression,

    /// Write only events that match one of these filters: FlowFilter messages in JSON, one behind the
    /// other, as `palomar observe --print-raw-filters` prints them
    #[arg(
        long = "export-allowlist",
        alias = "hubble-export-allowlist",
        value_name = "FILTERS"
    )]
    allow: Vec<String>,

    /// Do not write events that match one of these filters
    #[arg(
        long = "export-denylist",
        alias = "hubble-export-denylist",
        value_name = "FILTERS"
    )]
    deny: Vec<String>,

    /// Fields of flows to write, as in time,verdict,source.pod_name [default: all]
    #[arg(
        long = "export-fieldmask",
        alias = "hubble-export-fieldmask",
        value_name = "FIELDS"
    )]
    field_mask: Vec<String>,

    /// Count flows by these fields instead of writing each; needs --export-aggregation-interval
    #[arg(
        long = "export-fieldaggregate",
        alias = "hubble-export-fieldaggregate",
        value_name = "FIELDS"
    )]
    field_aggregate: Vec<String>,

    /// How often to write the counts of --export-fieldaggregate
    #[arg(long = "export-aggregation-interval", alias = "hubble-export-aggregation-interval",
          value_name = "DURATION", default_value = "0s", value_parser = duration)]
    count_interval: Duration,

    /// When to make what was written outlast a loss of power: `never` (when the system likes to),
    /// `rotation`, or as often as in 1s
    #[arg(long = "export-fsync", value_name = "WHEN", default_value = "never", value_parser = sync)]
    sync: SyncPolicy,
}

/// What an agent exports.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[command(flatten)]
    exporter: ExporterArgs,

    /// YAML file of further exporters, as Hubble's `flowLogs`; read again when it changes
    #[arg(
        long = "export-config",
        alias = "hubble-flowlogs-config-path",
        value_name = "FILE",
        help_heading = "Export"
    )]
    config: Option<PathBuf>,
}

impl Args {
    pub(super) fn config(self) -> anyhow::Result<Config> {
        let sync = self.exporter.sync;
        Ok(Config {
            fixed: self.exporter.spec()?,
            file: self.config.filter(|path| !path.as_os_str().is_empty()),
            sync,
        })
    }
}

impl ExporterArgs {
    /// The exporter, if a file was named.
    fn spec(self) -> anyhow::Result<Option<Spec>> {
        let Some(file) = self.file.filter(|file| !file.is_empty()) else {
            return Ok(None);
        };
        let spec = Spec {
            allow: raw::parse("export-allowlist", &self.allow)?,
            deny: raw::parse("export-denylist", &self.deny)?,
            field_mask: fields("--export-fieldmask", &self.field_mask)?,
            field_aggregate: fields("--export-fieldaggregate", &self.field_aggregate)?,
            aggregation_interval: self.count_interval,
            rotation: Rotation {
                max_bytes: self.max_size_mb.saturating_mul(1 << 20),
                max_age: self.max_age,
                max_backups: self.max_backups,
                compression: self.compress,
            },
            ..Spec::new(STATIC, Target::named(&file))
        };
        spec.check().context("cannot export flows")?;
        Ok(Some(spec))
    }
}

/// Paths with commas or blanks between, each of which leads to a field.
pub(crate) fn fields(flag: &str, texts: &[String]) -> anyhow::Result<Vec<String>> {
    let paths = texts.iter().flat_map(|text| text.split([',', ' ']));
    let paths: Vec<String> = paths
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect();
    for path in &paths {
        let spec = Spec {
            field_mask: vec![path.clone()],
            ..Spec::new(STATIC, Target::Stdout)
        };
        if spec.check().is_err() {
            bail!("{flag} contains invalid fieldmask {path:?}: flows have no such field");
        }
    }
    Ok(paths)
}

pub(crate) fn compression(text: &str) -> anyhow::Result<Compression> {
    match text {
        "gzip" | "true" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        "none" | "false" => Ok(Compression::None),
        _ => bail!("expected gzip, zstd or none"),
    }
}

pub(crate) fn sync(text: &str) -> anyhow::Result<SyncPolicy> {
    match text {
        "never" => Ok(SyncPolicy::Never),
        "rotation" => Ok(SyncPolicy::Rotation),
        interval => match duration(interval) {
            Ok(interval) if !interval.is_zero() => Ok(SyncPolicy::Every(interval)),
            _ => bail!("expected never, rotation, or a duration such as 1s"),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn config_of(line: &[&str]) -> Result<Config, String> {
        let command = Args::augment_args(clap::Command::new("agent").no_binary_name(true));
        let matches = command
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        let args = Args::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        args.config().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn nothing_is_exported_unless_a_file_is_named() {
        let config = config_of(&[]).unwrap();
        assert!(config.fixed.is_none() && config.file.is_none());
        let spec = config_of(&["--export-file=stdout"]).unwrap().fixed;
        assert_eq!(spec, Some(Spec::new(STATIC, Target::Stdout)));
    }

    #[test]
    fn hubbles_flags_mean_the_same() {
        let ours = [
            "--export-file=/a/b.log",
            "--export-file-max-size-mb=3",
            "--export-file-max-backups=2",
            "--export-file-compress",
            r#"--export-allowlist={"verdict":["DROPPED"]} {"sourcePod":["shop/"]}"#,
            r#"--export-denylist={"reply":[true]}"#,
            "--export-fieldmask=time,verdict source.pod_name",
            "--export-fieldaggregate=verdict",
            "--export-aggregation-interval=30s",
            "--export-config=/a/c.yaml",
        ];
        let hubbles = ours.map(|flag| {
            let flag = flag.replace("--export-config", "--hubble-flowlogs-config-path");
            let flag = flag.replace("--export-file=", "--hubble-export-file-path=");
            flag.replace("--export-", "--hubble-export-")
        });
        let hubbles: Vec<&str> = hubbles.iter().map(String::as_str).collect();
        let (ours, hubbles) = (config_of(&ours).unwrap(), config_of(&hubbles).unwrap());
        assert_eq!(ours.fixed, hubbles.fixed);
        assert_eq!(ours.file, hubbles.file);
        let spec = ours.fixed.unwrap();
        assert_eq!((spec.allow.len(), spec.deny.len()), (2, 1));
        assert_eq!(spec.field_mask, ["time", "verdict", "source.pod_name"]);
        assert_eq!(spec.rotation.compression, Compression::Gzip);
        assert_eq!(spec.rotation.max_bytes, 3 << 20);
    }

    #[test]
    fn a_refused_flag_says_what_was_expected() {
        for (flag, expected) in [
            ("--export-file-compress=lz4", "expected gzip, zstd or none"),
            (
                "--export-fsync=often",
                "expected never, rotation, or a duration",
            ),
            (
                "--export-fieldmask=nope",
                "contains invalid fieldmask \"nope\"",
            ),
            ("--export-allowlist={", "invalid --export-allowlist flag"),
            (
                r#"--export-allowlist={"source_ip":["x"]}"#,
                "cannot export flows",
            ),
        ] {
            let error = config_of(&["--export-file=a", flag]).unwrap_err();
            assert!(error.contains(expected), "{flag}: {error}");
        }
    }
}

//! The file of dynamic exporters: Hubble's `flowLogs`, YAML text -> specs, or the line of the first
//! mistake.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use flow_api::{flow::FlowFilter, json};
use prost_types::Timestamp;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::spec::{Compression, Spec, Target};
use crate::{bounded::read_text, encode::nanoseconds, yaml::Mistake};

/// A longer file is none of this kind: a filter with ten thousand addresses takes a fifth of that.
const MAX_BYTES: u64 = 1 << 20;
/// Each exporter is a thread and goes through all flows.
const MOST_EXPORTERS: usize = 64;

/// A file of exporters that cannot be used. The one before holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is too long to be one.
    #[error("{} is longer than {MAX_BYTES} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// What it says means nothing.
    #[error("{}:{line}: {message}", path.display())]
    Mistake {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    flow_logs: Option<Vec<Spanned<Option<Entry>>>>,
}

/// An exporter as it is written: each field may be there without a value.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: Option<String>,
    file_path: Option<String>,
    field_mask: Option<Vec<String>>,
    field_aggregate: Option<Vec<String>>,
    aggregation_interval: Option<Spanned<String>>,
    include_filters: Option<Vec<Spanned<serde_json::Value>>>,
    exclude_filters: Option<Vec<Spanned<serde_json::Value>>>,
    file_max_size_mb: Option<u64>,
    file_max_backups: Option<usize>,
    file_compress: Option<bool>,
    end: Option<Spanned<String>>,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<(Vec<Spec>, String), ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let Some(text) = read_text(path, MAX_BYTES).map_err(failed)? else {
        let path = path.to_owned();
        return Err(ConfigError::TooLong { path });
    };
    match parse(&text) {
        Ok(specs) => Ok((specs, text)),
        Err(Mistake { line, message }) => Err(ConfigError::Mistake {
            path: path.to_owned(),
            line,
            message,
        }),
    }
}

fn parse(text: &str) -> Result<Vec<Spec>, Mistake> {
    let options = serde_saphyr::options! { with_snippet: false };
    let written: Option<Written> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| Mistake::of(&error))?;
    let entries = written.and_then(|it| it.flow_logs).unwrap_or_default();
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    let mut specs = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let line = entry.referenced.line();
        let refuse = |message: String| Mistake { line, message };
        let Some(entry) = entry.value else {
            return Err(refuse(format!("invalid flowlog at index {index}")));
        };
        if index >= MOST_EXPORTERS {
            return Err(refuse(format!("more than {MOST_EXPORTERS} flowlogs")));
        }
        let spec = entry.spec(line)?;
        if !names.insert(spec.name.clone()) {
            return Err(refuse(format!("duplicated flowlog name {}", spec.name)));
        }
        let path = spec.target.to_string();
        if !paths.insert(path.clone()) {
            return Err(refuse(format!("duplicated flowlog path {path}")));
        }
        specs.push(spec);
    }
    Ok(specs)
}

impl Entry {
    fn spec(self, line: u64) -> Result<Spec, Mistake> {
        let refuse = |message: &str| Mistake {
            line,
            message: message.to_owned(),
        };
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let name = given(self.name).ok_or_else(|| refuse("name is required"))?;
        let path = given(self.file_path).ok_or_else(|| refuse("filePath is required"))?;
        let mut spec = Spec::new(&name, Target::named(&path));
        spec.field_mask = self.field_mask.unwrap_or_default();
        spec.field_aggregate = self.field_aggregate.unwrap_or_default();
        if let Some(text) = self.aggregation_interval {
            spec.aggregation_interval = duration(&text.value).ok_or_else(|| Mistake {
                line: text.referenced.line(),
                message: format!(
                    "invalid aggregationInterval {:?}: expected a duration such as 30s",
                    text.value
                ),
            })?;
        }
        spec.allow = filters(self.include_filters)?;
        spec.deny = filters(self.exclude_filters)?;
        let rotation = &mut spec.rotation;
        if let Some(megabytes) = self.file_max_size_mb.filter(|&it| it > 0) {
            rotation.max_bytes = megabytes.saturating_mul(1 << 20);
        }
        if let Some(backups) = self.file_max_backups.filter(|&it| it > 0) {
            rotation.max_backups = backups;
        }
        if self.file_compress == Some(true) {
            rotation.compression = Compression::Gzip;
        }
        if let Some(end) = self.end {
            let time = Timestamp::from_str(&end.value).map_err(|_invalid| Mistake {
                line: end.referenced.line(),
                message: format!(
                    "invalid end {:?}: expected a time such as 2026-01-31T09:30:00Z",
                    end.value
                ),
            })?;
            spec.end_ns = Some(nanoseconds(time));
        }
        spec.check().map_err(|error| refuse(&error.to_string()))?;
        Ok(spec)
    }
}

/// Filters are messages of the contract, by the names of their fields.
fn filters(written: Option<Vec<Spanned<serde_json::Value>>>) -> Result<Vec<FlowFilter>, Mistake> {
    let filter = |written: Spanned<serde_json::Value>| {
        json::from_str(&written.value.to_string()).map_err(|error| Mistake {
            line: written.referenced.line(),
            message: format!("invalid filter: {error}"),
        })
    };
    written
        .unwrap_or_default()
        .into_iter()
        .map(filter)
        .collect()
}

/// A duration in Go's words: `30s`, `1m0.5s`.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut rest = text;
    let mut seconds = 0.0;
    if text == "0" {
        return Some(Duration::ZERO);
    }
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, tail) = rest.split_at(rest.find(|c| !is_number(c))?);
        let unit_end = tail.find(is_number).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        seconds += number.parse::<f64>().ok()? * unit;
        rest = tail;
    }
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!text.is_empty()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use flow_api::flow::Verdict;

    use super::*;

    const WHOLE: &str = "
flowLogs:
  - name: all
    filePath: /var/log/flows.log
  - name: drops
    filePath: stdout
    fieldMask: [source.pod_name, verdict]
    fieldAggregate:
      - verdict
    aggregationInterval: 1m30s
    includeFilters:
      - verdict: [DROPPED]
        source_pod: [\"shop/\"]
      - destination_port: [\"53\"]
    excludeFilters:
      - {}
    fileMaxSizeMb: 3
    fileMaxBackups: 2
    fileCompress: true
    end: 2026-01-31T10:30:00+01:00
";

    #[test]
    fn hubbles_file_is_read() {
        let specs = parse(WHOLE).unwrap();
        let all = Spec::new("all", Target::File("/var/log/flows.log".into()));
        assert_eq!(specs[0], all);
        let drops = &specs[1];
        assert_eq!(drops.target, Target::Stdout);
        assert_eq!(drops.allow.len(), 2);
        assert_eq!(drops.allow[0].verdict, [i32::from(Verdict::Dropped)]);
        assert_eq!(drops.deny.len(), 1);
        assert_eq!(drops.aggregation_interval, Duration::from_secs(90));
        assert_eq!(drops.rotation.max_bytes, 3 << 20);
        assert_eq!(drops.rotation.max_backups, 2);
        assert_eq!(drops.rotation.compression, Compression::Gzip);
        assert_eq!(drops.end_ns, Some(1_769_851_800_000_000_000));
        for empty in ["", "flowLogs:", "flowLogs: []", "# nothing\n"] {
            assert_eq!(parse(empty), Ok(Vec::new()), "{empty:?}");
        }
    }

    #[test]
    fn zero_and_nothing_mean_the_default() {
        let text = "flowLogs: [{name: a, filePath: b, fileMaxSizeMb: 0, fileMaxBackups: 0, \
                    fieldMask: , includeFilters: }]";
        let expected = Spec::new("a", Target::File("b".into()));
        assert_eq!(parse(text), Ok(vec![expected]));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let one = "flowLogs:\n  - name: a\n    filePath: b\n";
        for (text, line, message) in [
            ("flowLogs:\n  - filePath: b", 2, "name is required"),
            ("flowLogs:\n  - name: a", 2, "filePath is required"),
            (
                "flowLogs:\n  - name: \"\"\n    filePath: b",
                2,
                "name is required",
            ),
            (
                &format!("{one}  - name: a\n    filePath: c"),
                4,
                "duplicated flowlog name a",
            ),
            (
                &format!("{one}  - name: c\n    filePath: b"),
                4,
                "duplicated flowlog path b",
            ),
            (&format!("{one}  -\n"), 4, "invalid flowlog at index 1"),
            (
                &format!("{one}    fieldMask: [nope]"),
                2,
                "invalid fieldmask \"nope\"",
            ),
            (
                &format!("{one}    end: tomorrow"),
                4,
                "invalid end \"tomorrow\"",
            ),
            (
                &format!("{one}    aggregationInterval: 5"),
                4,
                "invalid aggregationInterval \"5\"",
            ),
            (
                &format!("{one}    includeFilters:\n      - verdict: [NOPE]"),
                5,
                "invalid filter",
            ),
            (
                &format!("{one}    includeFilters:\n      - source_ip: [\"x\"]"),
                2,
                "x",
            ),
            (
                &format!("{one}    fileMaxSize: 1"),
                4,
                "unknown field \"fileMaxSize\", did you mean \"fileMaxSizeMb\"?",
            ),
            ("flowLogs: [", 1, ""),
            ("flowLogs: 7", 1, ""),
        ] {
            let mistake = parse(text).unwrap_err();
            assert!(mistake.message.contains(message), "{text}: {mistake:?}");
            assert!(
                line == mistake.line || message.is_empty(),
                "{text}: {mistake:?}"
            );
        }
    }

    #[test]
    fn durations_are_gos() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1m0.5s", 60_500),
            ("1h", 3_600_000),
            ("0", 0),
            ("250ms", 250),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["", "5", "s", "1x", "-1s", "1s2"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}

//! Which metrics of flows to make, as operators write it down: in one line, or in a file.
//!
//! ```text
//! dns:query;ignoreAAAA drop:sourceContext=pod|ip;labelsContext=source_namespace,traffic_direction
//! ```
//!
//! ```yaml
//! metrics:
//!   - name: drop
//!     contextOptions:
//!       - name: sourceContext
//!         values: [pod, ip]
//!     includeFilters:
//!       - source_pod: ["shop/"]
//! ```

use std::collections::BTreeSet;

use flow_api::{flow::FlowFilter, json};
use serde::Deserialize;

use super::{
    context::{Context, Contexts, PlainLabel},
    handler::PLUGINS,
};

/// A metric that is asked for: one of Hubble's plug-ins, with its labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// The plug-in.
    pub(crate) name: String,
    pub(crate) contexts: Contexts,
    /// Options of the plug-in, by names in lower case.
    options: Vec<(String, Vec<String>)>,
    /// Only flows that these let through are counted.
    pub(crate) include: Vec<FlowFilter>,
    pub(crate) exclude: Vec<FlowFilter>,
}

impl Metric {
    /// The values of an option, if it is there. An option that is only there is on.
    pub(crate) fn option(&self, name: &str) -> Option<&[String]> {
        let name = name.to_ascii_lowercase();
        let found = self.options.iter().find(|(it, _)| *it == name);
        found.map(|(_, values)| values.as_slice())
    }

    /// Whether this is counted with the same labels, so that only filters differ.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.name == other.name && self.contexts == other.contexts && self.options == other.options
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A plug-in that there is not.
    #[error("metric '{name}' does not exist; there are {}", PLUGINS.join(", "))]
    UnknownMetric {
        /// What came.
        name: String,
    },
    /// A context that there is not.
    #[error(
        "unable to initialize metric '{metric}': unknown context '{context}'; there are {}",
        list(Context::names())
    )]
    UnknownContext {
        /// Whose.
        metric: String,
        /// What came.
        context: String,
    },
    /// A label that there is not.
    #[error(
        "unable to initialize metric '{metric}': invalid labelsContext value: {label}; there are {}",
        list(PlainLabel::names())
    )]
    UnknownLabel {
        /// Whose.
        metric: String,
        /// What came.
        label: String,
    },
    /// Two plug-ins with metrics of the same names.
    #[error(
        "plugin http conflicts with plugin httpV2: their metrics have the same names, choose one"
    )]
    Conflict,
    /// A metric without a name, in a file.
    #[error("metric config validation failed - missing metric name at: {index}")]
    NoName {
        /// Which, from 0.
        index: usize,
    },
    /// A name for the second time.
    #[error("metric config validation failed - duplicate metric: {name}")]
    Duplicate {
        /// Which.
        name: String,
    },
    /// A filter that is none.
    #[error("metric '{metric}': {list} {index}: {reason}")]
    Filter {
        /// Whose.
        metric: String,
        /// `includeFilters` or `excludeFilters`.
        list: &'static str,
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// Not what such a file looks like.
    #[error("line {line}: {reason}")]
    Yaml {
        /// From 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

fn list(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Reads metrics from one line: items with blanks between them, or commas.
///
/// # Errors
/// The first item that cannot be used.
pub fn parse_line(text: &str) -> Result<Vec<Metric>, ConfigError> {
    let mut metrics = Vec::<Metric>::new();
    for item in items(text) {
        let (name, rest) = item.split_once(':').unwrap_or((item, ""));
        let options = rest.split(';').filter(|it| !it.is_empty()).map(|option| {
            let (name, values) = option.split_once('=').unwrap_or((option, ""));
            let is_list = name.eq_ignore_ascii_case("labelsContext");
            let between = if is_list { ',' } else { '|' };
            let values = values.split(between).filter(|it| !it.is_empty());
            (name, values.map(str::to_owned).collect())
        });
        let metric = metric(name, options)?;
        // As with Hubble's list, what is named again is meant anew.
        metrics.retain(|it| it.name != metric.name);
        metrics.push(metric);
    }
    check_conflicts(&metrics)?;
    Ok(metrics)
}

/// Items with blanks between them. Older ones have commas, where a comma in a list of labels is one
/// that is followed by a label.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|mut words| {
        let mut found = Vec::new();
        let mut begin = 0;
        while let Some(comma) = words[begin..].find(',') {
            let end = begin + comma;
            let next = &words[end + 1..];
            let next = &next[..next.find([',', ';', ':']).unwrap_or(next.len())];
            if PLUGINS.contains(&next) || next.is_empty() {
                found.push(&words[..end]);
                words = &words[end + 1..];
                begin = 0;
            } else {
                begin = end + 1;
            }
        }
        found.push(words);
        found.into_iter().filter(|it| !it.is_empty())
    })
}

fn metric<'a>(
    name: &str,
    options: impl Iterator<Item = (&'a str, Vec<String>)>,
) -> Result<Metric, ConfigError> {
    if !PLUGINS.contains(&name) {
        return Err(ConfigError::UnknownMetric {
            name: name.to_owned(),
        });
    }
    let mut metric = Metric {
        name: name.to_owned(),
        ..Metric::default()
    };
    for (option, values) in options {
        let option = option.to_ascii_lowercase();
        let contexts = |values: &[String]| -> Result<Vec<Context>, ConfigError> {
            let named = |it: &String| {
                Context::named(it).ok_or_else(|| ConfigError::UnknownContext {
                    metric: name.to_owned(),
                    context: it.clone(),
                })
            };
            values.iter().map(named).collect()
        };
        let sides = &mut metric.contexts;
        match option.as_str() {
            "sourcecontext" => sides.source.always = contexts(&values)?,
            "sourceegresscontext" => sides.source.egress = Some(contexts(&values)?),
            "sourceingresscontext" => sides.source.ingress = Some(contexts(&values)?),
            "destinationcontext" => sides.destination.always = contexts(&values)?,
            "destinationegresscontext" => sides.destination.egress = Some(contexts(&values)?),
            "destinationingresscontext" => sides.destination.ingress = Some(contexts(&values)?),
            "labelscontext" => {
                let named = |it: &String| {
                    PlainLabel::named(it).ok_or_else(|| ConfigError::UnknownLabel {
                        metric: name.to_owned(),
                        label: it.clone(),
                    })
                };
                let labels = values
                    .iter()
                    .map(named)
                    .collect::<Result<BTreeSet<_>, _>>()?;
                sides.labels = labels.into_iter().collect();
            }
            _ => {
                metric.options.retain(|(it, _)| *it != option);
                metric.options.push((option, values));
            }
        }
    }
    Ok(metric)
}

fn check_conflicts(metrics: &[Metric]) -> Result<(), ConfigError> {
    let has = |name| metrics.iter().any(|it| it.name == name);
    if has("http") && has("httpV2") {
        return Err(ConfigError::Conflict);
    }
    Ok(())
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    metrics: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    context_options: Vec<ContextOption>,
    #[serde(default)]
    include_filters: Vec<serde_json::Value>,
    #[serde(default)]
    exclude_filters: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct ContextOption {
    name: String,
    #[serde(default)]
    values: Vec<String>,
}

/// Reads metrics from a file in YAML.
///
/// # Errors
/// The first thing in it that cannot be used.
pub fn parse_yaml(text: &str) -> Result<Vec<Metric>, ConfigError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let document: Document = serde_saphyr::from_str(text).map_err(|error| ConfigError::Yaml {
        line: error.location().map_or(1, |it| it.line()),
        reason: error.to_string(),
    })?;
    let mut metrics = Vec::<Metric>::new();
    for (index, entry) in document.metrics.into_iter().enumerate() {
        if entry.name.is_empty() {
            return Err(ConfigError::NoName { index });
        }
        if metrics.iter().any(|it| it.name == entry.name) {
            return Err(ConfigError::Duplicate { name: entry.name });
        }
        let options = entry.context_options.iter();
        let mut metric = metric(
            &entry.name,
            options.map(|it| (it.name.as_str(), it.values.clone())),
        )?;
        metric.include = filters(&entry.name, "includeFilters", &entry.include_filters)?;
        metric.exclude = filters(&entry.name, "excludeFilters", &entry.exclude_filters)?;
        metrics.push(metric);
    }
    check_conflicts(&metrics)?;
    Ok(metrics)
}

fn filters(
    metric: &str,
    list: &'static str,
    values: &[serde_json::Value],
) -> Result<Vec<FlowFilter>, ConfigError> {
    let read = |(index, value): (usize, &serde_json::Value)| {
        json::from_str(&value.to_string()).map_err(|error| ConfigError::Filter {
            metric: metric.to_owned(),
            list,
            index,
            reason: error.to_string(),
        })
    };
    values.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(metrics: &[Metric]) -> Vec<&str> {
        metrics.iter().map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn items_are_parted_by_blanks_or_commas() {
        let spaced = parse_line("dns drop:sourceContext=pod  tcp").unwrap();
        assert_eq!(names(&spaced), ["dns", "drop", "tcp"]);
        assert_eq!(
            spaced,
            parse_line("dns,drop:sourceContext=pod,tcp").unwrap()
        );
        let labels = parse_line("flow:labelsContext=source_pod,pod tcp").unwrap_err();
        assert!(
            matches!(labels, ConfigError::UnknownLabel { .. }),
            "{labels}"
        );
        let labelled = parse_line("flow:labelsContext=source_pod,source_ip tcp").unwrap();
        let found: Vec<_> = labelled[0].contexts.names().collect();
        assert_eq!(found, ["source_ip", "source_pod"]);
        assert_eq!(parse_line(" , ").unwrap(), []);
    }

    #[test]
    fn an_option_that_is_there_is_on_and_the_last_one_counts() {
        let dns =
            &parse_line("dns:query=false;QUERY;sourceContext=pod;sourceContext=ip|dns").unwrap()[0];
        assert_eq!(dns.option("query"), Some(&[][..]));
        assert_eq!(dns.option("port"), None);
        assert_eq!(dns.contexts.source.always, [Context::Ip, Context::Dns]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("dsn", "metric 'dsn' does not exist"),
            ("dns:sourceContext=pods", "unknown context 'pods'"),
            ("dns:labelsContext=pod", "invalid labelsContext value: pod"),
            ("http httpV2", "conflicts"),
        ] {
            let error = parse_line(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_has_lists_of_values_and_filters() {
        let text = "metrics:\n- name: drop\n  contextOptions:\n  - name: sourceContext\n    values: [pod, ip]\n  \
                    includeFilters:\n  - source_pod: [\"shop/\"]\n    verdict: [DROPPED]\n- name: tcp\n";
        let metrics = parse_yaml(text).unwrap();
        assert_eq!(names(&metrics), ["drop", "tcp"]);
        assert_eq!(
            metrics[0].contexts.source.always,
            [Context::Pod, Context::Ip]
        );
        assert_eq!(metrics[0].include[0].source_pod, ["shop/"]);
        for (text, expected) in [
            (
                "metrics:\n- name: drop\n- contextOptions: []\n",
                "missing metric name at: 1",
            ),
            (
                "metrics:\n- name: drop\n- name: drop\n",
                "duplicate metric: drop",
            ),
            (
                "metrics:\n- name: drop\n  includeFilters:\n  - pods: [a]\n",
                "includeFilters 0",
            ),
            ("metrics:\n- name: drop\n  name: [\n", "line "),
        ] {
            let error = parse_yaml(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

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

mod line;
mod yaml;

use std::collections::BTreeSet;

use flow_api::flow::FlowFilter;

use super::{
    context::{Context, Contexts, PlainLabel},
    handler::PLUGINS,
};

pub use line::parse_line;
pub(super) use yaml::parse;
pub use yaml::{Mistake, parse_yaml};

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
    /// Labels other than those that the metric had before.
    #[error(
        "metric config validation failed - the labels of {name} cannot change while the agent runs: \
         restart it, or leave contextOptions as they were"
    )]
    OtherLabels {
        /// Whose.
        name: String,
    },
    /// A filter that is none.
    #[error("metric '{metric}': invalid filter: {reason}")]
    Filter {
        /// Whose.
        metric: String,
        /// What is wrong.
        reason: String,
    },
    /// Not what such a file looks like.
    #[error("{reason}")]
    Yaml {
        /// What is wrong.
        reason: String,
    },
}

impl ConfigError {
    /// What was given, and the words that could stand there.
    #[must_use]
    pub fn alternatives(&self) -> Option<(&str, Vec<&'static str>)> {
        match self {
            Self::UnknownMetric { name } => Some((name, PLUGINS.to_vec())),
            Self::UnknownContext { context, .. } => Some((context, Context::names().collect())),
            Self::UnknownLabel { label, .. } => Some((label, PlainLabel::names().collect())),
            _ => None,
        }
    }
}

fn list(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// A metric by its name and options; of an option that comes twice, the last counts.
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
            "sourceegresscontext" => sides.source.egress = contexts(&values)?,
            "sourceingresscontext" => sides.source.ingress = contexts(&values)?,
            "destinationcontext" => sides.destination.always = contexts(&values)?,
            "destinationegresscontext" => sides.destination.egress = contexts(&values)?,
            "destinationingresscontext" => sides.destination.ingress = contexts(&values)?,
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
        assert!(dns.option("query").is_some());
        assert_eq!(dns.option("port"), None);
        assert_eq!(dns.contexts.source.always, [Context::Ip, Context::Dns]);
    }

    #[test]
    fn values_of_a_list_have_bars_or_commas_between_them() {
        let [drop] = &parse_line("drop:sourceContext=pod,ip;labelsContext=source_ip|source_pod")
            .unwrap()[..]
        else {
            panic!("one metric was asked for");
        };
        assert_eq!(drop.contexts.source.always, [Context::Pod, Context::Ip]);
        let names: Vec<_> = drop.contexts.names().collect();
        assert_eq!(names, ["source_ip", "source_pod", "source"]);
        let [drop] = &parse_line("drop:sourceContext=;sourceEgressContext=").unwrap()[..] else {
            panic!("one metric was asked for");
        };
        assert_eq!(drop.contexts.names().count(), 0);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("dsn", "metric 'dsn' does not exist"),
            ("dns,dsn", "metric 'dsn' does not exist"),
            ("dns:sourceContext=pods", "unknown context 'pods'"),
            ("dns:sourceContext", "unknown context ''"),
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
        assert_eq!(parse_yaml("metrics:\n").unwrap(), []);
    }

    #[test]
    fn a_mistake_in_a_file_has_a_line() {
        for (text, expected) in [
            (
                "metrics:\n- name: drop\n- contextOptions: []\n",
                "line 3: metric config validation failed - missing metric name at: 1",
            ),
            (
                "metrics:\n- name: drop\n\n- name: drop\n",
                "line 4: metric config validation failed - duplicate metric: drop",
            ),
            (
                "metrics:\n- name: drop\n  includeFilters:\n  - pods: [a]\n",
                "line 4: metric 'drop': invalid filter: ",
            ),
            (
                "metrics:\n- name: drop\n  excludeFilters:\n  - source_ip: [a]\n",
                "line 4: metric 'drop': invalid filter: ",
            ),
            (
                "metrics:\n- name: tcp\n- name: drp\n",
                "line 3: metric 'drp'",
            ),
            ("metrics:\n- name: drop\n  name: [\n", "line 3: "),
            ("metrics:\n- name: drop\n  filters: []\n", "line 3: "),
            (
                "metrics:\n- name: http\n- name: httpV2\n",
                "line 3: plugin http",
            ),
        ] {
            let error = parse_yaml(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}

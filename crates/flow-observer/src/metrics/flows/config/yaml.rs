//! Metrics as a file has them: YAML text -> metrics, or the line of the first mistake.

use std::{collections::HashMap, fmt::Display};

use flow_api::{flow::FlowFilter, json};
use flow_filter::Filter;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Metric, check_conflicts, metric};
use crate::yaml;

/// What is wrong in a file, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Mistake {
    /// From 1.
    pub line: u64,
    /// What is wrong.
    pub reason: ConfigError,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    metrics: Option<Vec<Spanned<Option<Entry>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: Option<String>,
    context_options: Option<Vec<ContextOption>>,
    include_filters: Option<Vec<Spanned<serde_json::Value>>>,
    exclude_filters: Option<Vec<Spanned<serde_json::Value>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ContextOption {
    name: String,
    values: Option<Vec<String>>,
}

/// Reads metrics from a file in YAML.
///
/// # Errors
/// The first thing in it that cannot be used.
pub fn parse_yaml(text: &str) -> Result<Vec<Metric>, Mistake> {
    parse(text, &HashMap::new())
}

/// The same where these were counted before, whose labels can no longer change.
pub(in super::super) fn parse(
    text: &str,
    known: &HashMap<String, Metric>,
) -> Result<Vec<Metric>, Mistake> {
    let options = serde_saphyr::options! { with_snippet: false };
    let written: Option<Written> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| yaml::Mistake::of(&error))?;
    let entries = written.and_then(|it| it.metrics).unwrap_or_default();
    let mut metrics = Vec::<Metric>::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let line = entry.referenced.line();
        let refuse = |reason| Mistake { line, reason };
        let entry = entry.value.unwrap_or_default();
        let name = entry.name.clone().unwrap_or_default();
        if name.is_empty() {
            return Err(refuse(ConfigError::NoName { index }));
        }
        if metrics.iter().any(|it| it.name == name) {
            return Err(refuse(ConfigError::Duplicate { name }));
        }
        let metric = entry.metric(&name, line)?;
        if known.get(&name).is_some_and(|it| !it.is_like(&metric)) {
            return Err(refuse(ConfigError::OtherLabels { name }));
        }
        metrics.push(metric);
        check_conflicts(&metrics).map_err(refuse)?;
    }
    Ok(metrics)
}

impl Entry {
    fn metric(self, name: &str, line: u64) -> Result<Metric, Mistake> {
        let options = self.context_options.unwrap_or_default();
        let options = options
            .iter()
            .map(|it| (it.name.as_str(), it.values.clone().unwrap_or_default()));
        let mut metric = metric(name, options).map_err(|reason| Mistake { line, reason })?;
        metric.include = filters(name, self.include_filters)?;
        metric.exclude = filters(name, self.exclude_filters)?;
        // Each makes sense by now; together they may be too many.
        match Filter::compile(&metric.include, &metric.exclude) {
            Ok(_) => Ok(metric),
            Err(error) => Err(Mistake {
                line,
                reason: invalid_filter(name, &error),
            }),
        }
    }
}

/// Filters are messages of the contract, by the names of their fields.
fn filters(
    metric: &str,
    written: Option<Vec<Spanned<serde_json::Value>>>,
) -> Result<Vec<FlowFilter>, Mistake> {
    let filter = |written: Spanned<serde_json::Value>| {
        let refuse = |error: &dyn Display| Mistake {
            line: written.referenced.line(),
            reason: invalid_filter(metric, error),
        };
        let filter: FlowFilter =
            json::from_str(&written.value.to_string()).map_err(|error| refuse(&error))?;
        Filter::compile(std::slice::from_ref(&filter), &[]).map_err(|error| refuse(&error))?;
        Ok(filter)
    };
    written
        .unwrap_or_default()
        .into_iter()
        .map(filter)
        .collect()
}

fn invalid_filter(metric: &str, error: &dyn Display) -> ConfigError {
    ConfigError::Filter {
        metric: metric.to_owned(),
        reason: error.to_string(),
    }
}

impl From<yaml::Mistake> for Mistake {
    fn from(yaml::Mistake { line, message }: yaml::Mistake) -> Self {
        let reason = ConfigError::Yaml { reason: message };
        Self { line, reason }
    }
}

//! Metrics as Hubble's flag has them: items on one line.

use super::{ConfigError, Metric, PLUGINS, check_conflicts, metric};

/// Reads metrics from one line: items with blanks between them, or commas.
///
/// # Errors
/// The first item that cannot be used.
pub fn parse_line(text: &str) -> Result<Vec<Metric>, ConfigError> {
    let mut metrics = Vec::<Metric>::new();
    for item in items(text) {
        let (name, rest) = item.split_once(':').unwrap_or((item, ""));
        let options = rest.split(';').filter(|it| !it.is_empty()).map(option);
        let metric = metric(name, options)?;
        // As with Hubble's list, what is named again is meant anew.
        metrics.retain(|it| it.name != metric.name);
        metrics.push(metric);
    }
    check_conflicts(&metrics)?;
    Ok(metrics)
}

/// Name and values. One without `=` has the empty text for a value: enough for one that is on by being
/// there, and for others a mistake.
fn option(text: &str) -> (&str, Vec<String>) {
    let Some((name, values)) = text.split_once('=') else {
        return (text, vec![String::new()]);
    };
    let between = if values.contains('|') { '|' } else { ',' };
    let values = values.split(between).filter(|it| !it.is_empty());
    (name, values.map(str::to_owned).collect())
}

/// Items with blanks between them. Older ones have commas, which also part the values of options: one
/// that is followed by a plug-in's name ends an item, as does any in an item without options.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|mut words| {
        let mut found = Vec::new();
        let mut begin = 0;
        while let Some(comma) = words[begin..].find(',') {
            let end = begin + comma;
            let next = &words[end + 1..];
            let next = &next[..next.find([',', ';', ':']).unwrap_or(next.len())];
            let has_options = words[..end].contains(':');
            if !has_options || PLUGINS.contains(&next) {
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

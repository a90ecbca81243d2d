//! The configuration that is planned: a list as `--metrics` takes it, or a file as `--metrics-config`
//! does.

use std::path::Path;

use anyhow::{anyhow, bail};
use flow_api::near::nearest;
use flow_observer::metrics::flows::{ConfigError, FileError, Metric, parse_line, read_file};

/// What a command line asks for.
///
/// # Errors
/// No configuration, a file that cannot be read, or something in it that cannot be used.
pub(super) fn read(words: &[String]) -> anyhow::Result<Vec<Metric>> {
    let metrics = match words {
        [] => bail!(
            "name what to plan: a list of metrics as in 'dns:query drop:sourceContext=pod', or a file"
        ),
        [word] if is_file(word) => read_file(Path::new(word)).map_err(of_file)?,
        // Who forgets the quotes means the same.
        words => parse_line(&words.join(" ")).map_err(|error| of_config(error, ""))?,
    };
    if metrics.is_empty() {
        bail!("there is no metric in {}", words.join(" "));
    }
    Ok(metrics)
}

/// No name of a metric has these; a list has no bare slash.
fn is_file(word: &str) -> bool {
    let ends = [".yaml", ".yml", ".json"];
    word.contains('/') || ends.iter().any(|it| word.ends_with(it)) || Path::new(word).is_file()
}

fn of_file(error: FileError) -> anyhow::Error {
    match error {
        FileError::Mistake { path, mistake } => {
            let place = format!("{}:{}: ", path.display(), mistake.line);
            of_config(mistake.reason, &place)
        }
        other => other.into(),
    }
}

/// A mistake in a configuration, with the word that may have been meant instead of all that there are.
fn of_config(error: ConfigError, place: &str) -> anyhow::Error {
    let text = error.to_string();
    let meant = error
        .alternatives()
        .and_then(|(given, known)| nearest(given, known));
    match (meant, text.split_once("; there are")) {
        (Some(meant), Some((wrong, _))) => anyhow!("{place}{wrong}: did you mean {meant}?"),
        _ => anyhow!("{place}{text}"),
    }
}

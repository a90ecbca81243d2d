//! What a person may have meant: a line below the message about a mistake, on terminals only.
//! Elsewhere the message stands alone, as scripts know it from Hubble's client.

use std::io::{self, IsTerminal as _};

use flow_api::near;

use crate::cli::{Command, Entry};
use crate::command::config::UnknownKey;
use crate::complete::values;
use crate::config::keys::KEYS;
use crate::flags::UsageError;
use crate::observe::mask;
use crate::program;

/// As many letters may be wrong in a word that is still taken for another.
const MAX_DISTANCE: usize = 2;

/// So many words are shown at most: who must choose among more reads the help.
const MAX_SHOWN: usize = 5;

/// Prints what helps with an error that this command line led to, if somebody looks.
pub(crate) fn print(error: &anyhow::Error, line: &[String]) {
    if io::stderr().is_terminal()
        && let Some(hint) = hint(error, line)
    {
        eprintln!("{hint}");
    }
}

/// What helps with an error.
fn hint(error: &anyhow::Error, line: &[String]) -> Option<String> {
    if let Some(error) = error.downcast_ref::<UsageError>() {
        let mut rest = line.to_vec();
        // Of a line without a command all that can be told is where they are listed.
        let command = Command::find(&mut rest).unwrap_or_else(|_| Command::root());
        return of_usage(error, command);
    }
    if let Some(UnknownKey { name }) = error.downcast_ref() {
        let names = alike(name, KEYS.iter().map(|key| key.name));
        return Some(
            meant(&names, "")
                .unwrap_or_else(|| format!("all settings: '{} config view'", program::name())),
        );
    }
    if let Some(mask::InvalidPath(path)) = error.downcast_ref() {
        let fields = values::flow_fields();
        let names = alike(path, fields.iter().map(String::as_str));
        return meant(&names, "");
    }
    None
}

fn of_usage(error: &UsageError, command: &Command) -> Option<String> {
    let help = || {
        let path = program::renamed(command.topic().path).into_owned();
        format!("all flags: '{path} --help'")
    };
    match error {
        UsageError::UnknownFlag(name) => {
            let topic = command.topic();
            let told = topic
                .groups
                .iter()
                .filter(|group| !group.heading.is_empty());
            let flags = told.flat_map(|group| &group.entries);
            let names = alike(name, flags.map(|entry: &Entry| entry.long.as_ref()));
            Some(meant(&names, "--").unwrap_or_else(help))
        }
        UsageError::UnknownShorthand { .. } => Some(help()),
        UsageError::InvalidValue { given, flag, .. } => {
            let name = flag
                .rsplit_once("--")
                .map_or(flag.as_str(), |(_, name)| name);
            let known = values::words(command.topic().path, name)?;
            // Of a list, the part that is none of them, or that differs in its capitals.
            let is_known = |part: &&str| known.iter().any(|word| word.eq_ignore_ascii_case(part));
            let wrong = given
                .split(',')
                .find(|part| !is_known(part))
                .unwrap_or(given);
            let names = alike(wrong, known.iter().map(String::as_str));
            meant(&names, "").or_else(|| {
                let list = known.join(", ");
                (known.len() <= 2 * MAX_SHOWN).then(|| format!("one of: {list}"))
            })
        }
        UsageError::UnknownCommand { suggestion, .. } => suggestion
            .is_empty()
            .then(|| format!("all commands: '{} --help'", program::name())),
        UsageError::MissingValue(_)
        | UsageError::MissingValueShort { .. }
        | UsageError::BadSyntax(_) => None,
    }
}

fn meant(names: &[&str], prefix: &str) -> Option<String> {
    let mut list: Vec<String> = names
        .iter()
        .take(MAX_SHOWN)
        .map(|name| format!("{prefix}{name}"))
        .collect();
    let last = list.pop()?;
    let list = if list.is_empty() {
        last
    } else {
        format!("{} or {last}", list.join(", "))
    };
    Some(format!("did you mean {list}?"))
}

/// The words that are spelled nearly so, or begin so; the most alike first.
pub(crate) fn alike<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = word.to_lowercase();
    let mut found: Vec<(usize, &str)> = known
        .filter_map(|name| {
            let candidate = name.to_lowercase();
            let distance = near::distance(&candidate, &lower);
            // Of three letters with two wrong, nothing is left to go by.
            let is_near = distance <= MAX_DISTANCE.min(candidate.len() / 2);
            (is_near || candidate.starts_with(&lower)).then_some((distance, name))
        })
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().map(|(_, name)| name).collect()
}

/// The end of a message about a word that is none of these: the one that was meant, or all of them.
pub(crate) fn expected<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match near::nearest(word, known.clone()) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("expected one of {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &[&str]) -> Option<String> {
        let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        let mut rest = line.clone();
        let error: anyhow::Error = match Command::find(&mut rest) {
            Err(error) => error.into(),
            Ok(command) => match command.parse::<crate::observe::args::Args>(&rest) {
                Err(error) => error.into(),
                Ok(_) => return None,
            },
        };
        hint(&error, &line)
    }

    #[test]
    fn flags_that_are_nearly_right_are_named() {
        assert_eq!(
            told(&["observe", "--verdit", "x"]).as_deref(),
            Some("did you mean --verdict?")
        );
        assert_eq!(
            told(&["observe", "--from-pot", "x"]).as_deref(),
            Some("did you mean --from-pod or --from-port?")
        );
        assert_eq!(
            told(&["observe", "--qqqqq"]).as_deref(),
            Some("all flags: 'palomar observe --help'")
        );
    }

    #[test]
    fn values_that_are_nearly_right_are_named() {
        assert_eq!(
            told(&["observe", "--verdict", "DROPED"]).as_deref(),
            Some("did you mean DROPPED?")
        );
        assert_eq!(
            told(&["observe", "--drop-reason-desc", "policy_denied"]).as_deref(),
            Some("did you mean POLICY_DENIED?")
        );
        assert_eq!(
            told(&["observe", "--traffic-direction", "up"]).as_deref(),
            Some("one of: ingress, egress")
        );
        assert_eq!(
            told(&["observe", "--tcp-flags", "syn,akk"]).as_deref(),
            Some("did you mean ack?")
        );
        assert_eq!(
            told(&["observe", "-t", "trace:to-stak"]).as_deref(),
            Some("did you mean trace:to-stack?")
        );
    }

    #[test]
    fn fields_that_are_nearly_right_are_named() {
        let error = mask::mask(vec!["sorce.pod_name".to_owned()]).unwrap_err();
        assert_eq!(
            hint(&error.into(), &[]).as_deref(),
            Some("did you mean source.pod_name?")
        );
    }
}

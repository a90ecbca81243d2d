//! What may stand at the cursor: the hidden command `__complete`, which the completions of all
//! shells ask.
//!
//! In: the words behind the program's name, up to the cursor; the last one is the one that is being
//! typed, and may be empty. Out, on standard output: a line for each word that fits, with a tab and
//! a few words about it, and at last a colon and a number of [`flags`](Directive) that tell the shell
//! what else to do. That is the protocol of Hubble's client and of many others, so that tools that
//! know it work here, too. Nothing goes to standard error, and nothing fails: completing a word is
//! no time for messages.

mod line;
mod live;
pub(crate) mod values;

use std::fmt::Write as _;

use crate::cli::{Command, Topic};
use crate::config::keys::{KEYS, Key};
use line::{At, Place};
use values::{Offer, Values};

/// The name of the hidden command.
pub(crate) const COMMAND: &str = "__complete";

/// Help texts are cut there: a shell shows one line for each word.
const MAX_ABOUT: usize = 72;

/// What the shell does besides offering the words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Directive {
    /// Nothing; where there are no words it offers files.
    Files = 0,
    /// No files.
    Words = 4,
    /// No files, and no blank behind the word: it goes on.
    Beginnings = 6,
}

/// Prints what may stand at the end of these words.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let (directive, offers) = answer(words);
    let mut out = String::new();
    for offer in offers {
        let about = first_sentence(&offer.about);
        let written = match about.as_str() {
            "" => writeln!(out, "{}", offer.word),
            about => writeln!(out, "{}\t{about}", offer.word),
        };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    crate::command::print(&format!("{out}:{}", directive as u8))
}

fn answer(words: &[String]) -> (Directive, Vec<Offer>) {
    let Some((current, before)) = words.split_last() else {
        return (Directive::Words, Vec::new());
    };
    let place = line::place(before, current);
    let (directive, prefix, offers) = match &place.at {
        At::Flag => (Directive::Words, "", flags(&place.topic)),
        At::Value {
            flag,
            prefix,
            typed,
        } => {
            let (directive, offers) = value(&place, values::of(&place.topic, flag), typed);
            (directive, prefix.as_str(), offers)
        }
        At::Word(words) => {
            let (directive, offers) = word(&place, words, current);
            (directive, "", offers)
        }
    };
    let offers = offers
        .into_iter()
        .map(|offer| Offer::new(format!("{prefix}{}", offer.word), offer.about))
        .filter(|offer| fits(&offer.word, current))
        .collect();
    (directive, offers)
}

/// Whether a word begins as what is typed so far does, in either case.
fn fits(word: &str, typed: &str) -> bool {
    word.get(..typed.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(typed))
}

/// The flags of a command that its help tells of.
fn flags(topic: &Topic) -> Vec<Offer> {
    let told = topic
        .groups
        .iter()
        .filter(|group| !group.heading.is_empty());
    told.flat_map(|group| &group.entries)
        .map(|entry| Offer::new(format!("--{}", entry.long), entry.help.clone()))
        .collect()
}

/// The values of a flag.
fn value(place: &Place, values: Values, typed: &str) -> (Directive, Vec<Offer>) {
    match values {
        Values::Words(offers) => (Directive::Words, offers),
        Values::Beginnings(offers) => (Directive::Beginnings, offers),
        Values::List(offers) => {
            // What stands before the last comma stays.
            let kept = typed.rfind(',').map_or("", |at| &typed[..=at]);
            let offers = offers
                .into_iter()
                .filter(|offer| !kept.split(',').any(|word| word == offer.word))
                .map(|offer| Offer::new(format!("{kept}{}", offer.word), offer.about))
                .collect();
            (Directive::Beginnings, offers)
        }
        Values::Live(live) => {
            let directive = match live {
                live::Live::NamespacePrefixes if !typed.contains('/') => Directive::Beginnings,
                _ => Directive::Words,
            };
            (directive, live.ask(place.settings.as_ref()))
        }
        Values::File => (Directive::Files, Vec::new()),
        Values::Free => (Directive::Words, Vec::new()),
    }
}

/// Words that are no flags: commands, and what commands take.
fn word(place: &Place, before: &[String], current: &str) -> (Directive, Vec<Offer>) {
    let mut offers: Vec<Offer> = if before.is_empty() {
        let commands = place.topic.commands.iter();
        commands
            .map(|listed| Offer::new(listed.name, listed.about))
            .collect()
    } else {
        Vec::new()
    };
    match (place.topic.path, before) {
        ("palomar config get" | "palomar config reset" | "palomar config set", []) => {
            offers.extend(KEYS.iter().map(|key| Offer::new(key.name, "")));
        }
        ("palomar config set", [name]) => {
            return match Key::find(name) {
                Some(key) => value(place, values::of_key(key), current),
                None => (Directive::Words, offers),
            };
        }
        ("palomar help" | "palomar man", before) => {
            let mut path = before.to_vec();
            if let Ok(command) = Command::find(&mut path) {
                let commands = command.topic().commands;
                offers.extend(
                    commands
                        .into_iter()
                        .map(|listed| Offer::new(listed.name, listed.about)),
                );
            }
        }
        ("palomar doctor", _) => offers.extend(live::Live::Addresses.ask(place.settings.as_ref())),
        ("palomar metrics plan", []) => return (Directive::Files, offers),
        _ => {}
    }
    (Directive::Words, offers)
}

/// Enough of a help text to choose by.
fn first_sentence(about: &str) -> String {
    let line: Vec<&str> = about.split_whitespace().collect();
    let line = line.join(" ");
    let end = line
        .find("; ")
        .or_else(|| line.find(" [default:"))
        .unwrap_or(line.len());
    let sentence = &line[..end];
    if sentence.chars().count() <= MAX_ABOUT {
        return sentence.to_owned();
    }
    let cut: String = sentence.chars().take(MAX_ABOUT - 1).collect();
    format!("{}\u{2026}", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> (Directive, Vec<String>) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (directive, offers) = answer(&words);
        let words = offers.into_iter().map(|offer| offer.word.into_owned());
        (directive, words.collect())
    }

    fn words(line: &str) -> Vec<String> {
        offered(line).1
    }

    #[test]
    fn commands_are_offered_where_a_command_may_stand() {
        assert!(words("").contains(&"observe".to_owned()));
        assert_eq!(words("observe fl"), ["flows"]);
        assert_eq!(words("list "), ["namespaces", "nodes"]);
        assert_eq!(words("--debug li"), ["list"]);
        assert_eq!(words("completion b"), ["bash"]);
        assert_eq!(words("help list no"), ["nodes"]);
        assert!(words("observe flows x").is_empty());
    }

    #[test]
    fn flags_are_those_of_the_command() {
        assert_eq!(words("observe --verd"), ["--verdict"]);
        assert_eq!(words("observe -f --verd"), ["--verdict"]);
        assert_eq!(words("list nodes --out"), ["--output"]);
        assert!(words("list nodes --verd").is_empty());
        // Taken, but not told of.
        assert!(words("version --ser").is_empty());
    }

    #[test]
    fn values_are_offered_behind_each_spelling_of_a_flag() {
        assert_eq!(words("observe --verdict DRO"), ["DROPPED"]);
        assert_eq!(words("observe --verdict dro"), ["DROPPED"]);
        assert_eq!(words("observe --verdict=DRO"), ["--verdict=DROPPED"]);
        assert_eq!(words("observe -o j"), ["json", "jsonpb"]);
        assert_eq!(words("observe -fo j"), ["json", "jsonpb"]);
        assert_eq!(words("observe -t trace:to-s"), ["trace:to-stack"]);
        assert_eq!(words("list nodes -o w"), ["wide"]);
        assert_eq!(words("observe --traffic-direction "), ["ingress", "egress"]);
    }

    #[test]
    fn the_value_of_a_flag_is_no_command() {
        assert!(words("observe --pod flows --verd").contains(&"--verdict".to_owned()));
        assert_eq!(words("--server list st"), ["status"]);
    }

    #[test]
    fn lists_go_on_behind_a_comma() {
        let (directive, words) = offered("observe --tcp-flags syn,a");
        assert_eq!(words, ["syn,ack"]);
        assert_eq!(directive, Directive::Beginnings);
        assert!(
            !offered("observe --tcp-flags syn,")
                .1
                .contains(&"syn,syn".to_owned())
        );
    }

    #[test]
    fn files_are_left_to_the_shell() {
        for line in [
            "observe --input-file ",
            "status --tls-ca-cert-files ",
            "config set kubeconfig ",
            "--config ",
        ] {
            assert_eq!(offered(line), (Directive::Files, Vec::new()), "{line}");
        }
    }

    #[test]
    fn settings_and_their_values_are_offered() {
        assert_eq!(words("config get tls-s"), ["tls-server-name"]);
        assert_eq!(words("config set tls "), ["true", "false"]);
        assert!(words("config set tls true ").is_empty());
    }

    #[test]
    fn help_texts_are_cut_to_a_line() {
        assert_eq!(first_sentence("One; two"), "One");
        assert_eq!(first_sentence("One [default: 1]"), "One");
        assert_eq!(first_sentence(&"x".repeat(100)).chars().count(), MAX_ABOUT);
    }
}

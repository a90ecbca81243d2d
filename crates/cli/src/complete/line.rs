//! Where on a command line the cursor is.

use crate::cli::{Command, Entry, GLOBAL, Topic};
use crate::config::Config;
use crate::flags::{Accept as _, Section};
use crate::observe;
use crate::settings::{self, ServerArgs, Settings};

/// What is being typed.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum At {
    /// A flag.
    Flag,
    /// The value of a flag.
    Value {
        /// The flag.
        flag: String,
        /// What stands before the value in the same word, as in `--verdict=`.
        prefix: String,
        /// What is typed of the value.
        typed: String,
    },
    /// Something else, behind these words.
    Word(Vec<String>),
}

/// The cursor's place.
pub(super) struct Place {
    /// The command that the line means so far.
    pub(super) topic: Topic,
    /// What is being typed.
    pub(super) at: At,
    /// How to reach the server, as far as the line says so; `None` if it contradicts itself.
    pub(super) settings: Option<Settings>,
}

/// Finds the place behind these words.
pub(super) fn place(before: &[String], current: &str) -> Place {
    let mut walk = Walk {
        command: Command::root(),
        topic: Command::root().topic(),
        words: Vec::new(),
        only_words: false,
        server: ServerArgs::default(),
        config_file: None,
    };
    let mut before = before.iter();
    let mut pending = None;
    while let Some(word) = before.next() {
        pending = walk.step(word);
        if let Some(flag) = pending.take() {
            match before.next() {
                Some(value) => walk.set(&flag, value),
                None => {
                    pending = Some(flag);
                    break;
                }
            }
        }
    }
    let at = match pending {
        Some(flag) => At::Value {
            flag,
            prefix: String::new(),
            typed: current.to_owned(),
        },
        None => walk.at(current),
    };
    let config = Config::load(walk.config_file.as_deref());
    Place {
        topic: walk.topic,
        at,
        settings: Settings::new(walk.server, config).ok(),
    }
}

/// The command line as far as it was read.
struct Walk {
    command: &'static Command,
    topic: Topic,
    words: Vec<String>,
    only_words: bool,
    server: ServerArgs,
    config_file: Option<String>,
}

impl Walk {
    /// Reads a word. `Some` is a flag whose value is the next one.
    fn step(&mut self, word: &str) -> Option<String> {
        if self.only_words || word == "-" || !word.starts_with('-') {
            self.word(word);
            return None;
        }
        if word == "--" {
            self.only_words = true;
            return None;
        }
        if let Some(long) = word.strip_prefix("--") {
            if let Some((name, value)) = long.split_once('=') {
                self.set(name, value);
                return None;
            }
            return self.find(|entry| entry.long == long);
        }
        // Letters, up to one that takes a value. If letters are left, they are that value.
        let letters = &word[1..];
        for (index, letter) in letters.char_indices() {
            if let Some(flag) = self.find(|entry| entry.short == Some(letter)) {
                let value = &letters[index + letter.len_utf8()..];
                if value.is_empty() {
                    return Some(flag);
                }
                self.set(&flag, value.strip_prefix('=').unwrap_or(value));
                return None;
            }
        }
        None
    }

    fn word(&mut self, word: &str) {
        let child = match self.words.is_empty() {
            true => self
                .command
                .children()
                .iter()
                .find(|child| child.is_called(word)),
            false => None,
        };
        match child {
            Some(child) => {
                self.command = child;
                self.topic = child.topic();
            }
            None => self.words.push(word.to_owned()),
        }
    }

    /// The name of a flag that takes a value.
    fn find(&self, is_meant: impl Fn(&Entry) -> bool) -> Option<String> {
        let entries = self.topic.groups.iter().flat_map(|group| &group.entries);
        let mut found = entries.filter(|entry| is_meant(entry));
        if let Some(entry) = found.next() {
            return entry.value.is_some().then(|| entry.long.to_string());
        }
        // Flags of observe may stand before its name.
        if self.topic.runs {
            return None;
        }
        observe_topic()
            .groups
            .iter()
            .flat_map(|group| &group.entries)
            .find(|entry| is_meant(entry))
            .filter(|entry| entry.value.is_some())
            .map(|entry| entry.long.to_string())
    }

    /// Keeps what says whom to ask.
    fn set(&mut self, name: &str, value: &str) {
        let named = |section: &Section| section.flags.iter().find(|flag| flag.long == name);
        if named(&GLOBAL).is_some_and(|flag| flag.long == "config") {
            self.config_file = Some(value.to_owned());
        } else if let Some(flag) = named(&settings::SECTION) {
            // A value that is refused says nothing.
            self.server.accept(flag, value).ok();
        }
    }

    /// What the word at the cursor is.
    fn at(&mut self, current: &str) -> At {
        if self.only_words || !current.starts_with('-') {
            return At::Word(std::mem::take(&mut self.words));
        }
        match current.split_once('=') {
            Some((name, typed)) if name.starts_with("--") => At::Value {
                flag: name[2..].to_owned(),
                prefix: format!("{name}="),
                typed: typed.to_owned(),
            },
            _ => At::Flag,
        }
    }
}

fn observe_topic() -> Topic {
    let mut line = vec!["observe".to_owned()];
    debug_assert!(!observe::args::FLOWS.is_empty());
    Command::find(&mut line)
        .unwrap_or_else(|_| Command::root())
        .topic()
}

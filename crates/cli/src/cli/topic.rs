//! A command with all there is to say of it: what help texts, manual pages and completions are made
//! from. The tables of flags are the only place where any of it is written down.

use std::borrow::Cow;

use super::{Command, ROOT};
use crate::flags::{Flag, Section, Takes, origin};

/// A command.
#[derive(Debug)]
pub(crate) struct Topic {
    /// Its name behind those of its parents, as in `palomar list nodes`.
    pub(crate) path: &'static str,
    /// Other names that mean the same.
    pub(crate) aliases: &'static [&'static str],
    /// What it is for, in a line.
    pub(crate) about: String,
    /// More about that, or nothing.
    pub(crate) details: String,
    /// Commands to copy, or nothing.
    pub(crate) examples: String,
    /// Words that it takes besides flags, as in `KEY [VALUE]`, or nothing.
    pub(crate) arguments: &'static str,
    /// Whether it does something by itself.
    pub(crate) runs: bool,
    /// Its flags.
    pub(crate) groups: Vec<Group>,
    /// The commands below it.
    pub(crate) commands: Vec<Listed>,
}

/// Flags under one heading.
#[derive(Debug)]
pub(crate) struct Group {
    /// The heading; empty for flags that are known, but not told of.
    pub(crate) heading: Cow<'static, str>,
    /// The flags.
    pub(crate) entries: Vec<Entry>,
}

/// A flag.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The letter after `-`.
    pub(crate) short: Option<char>,
    /// The name after `--`.
    pub(crate) long: Cow<'static, str>,
    /// What stands for its value, if one must follow.
    pub(crate) value: Option<Cow<'static, str>>,
    /// What it does.
    pub(crate) help: Cow<'static, str>,
    /// Whether only we have it, in a command that Hubble's client has.
    pub(crate) is_ours: bool,
    /// The values that it takes, where the flag itself knows them.
    pub(crate) values: Vec<String>,
}

/// A command in the list of its parent.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// Whether the help of Hubble's client lists it.
    pub(crate) is_hubbles: bool,
}

impl Command {
    /// All there is to say of the command.
    pub(crate) fn topic(&self) -> Topic {
        let path = self.page.path;
        let mut topic = Topic {
            path,
            aliases: &self.names[1..],
            about: self.page.about.to_owned(),
            details: self.page.details.to_owned(),
            examples: self.page.examples.to_owned(),
            arguments: arguments(path),
            runs: self.action.is_some(),
            groups: self
                .sections
                .iter()
                .map(|section| Group::new(path, section))
                .collect(),
            commands: self
                .children
                .iter()
                .map(|child| Listed {
                    name: child.names[0],
                    about: child.page.about,
                    is_hubbles: origin::tells_of_command(child.page.path),
                })
                .collect(),
        };
        #[cfg(feature = "node")]
        if let Some(super::Action::Node(node)) = self.action {
            node.complete(&mut topic);
        }
        topic.groups.retain(|group| !group.entries.is_empty());
        topic
    }

    /// This command and all below it, parents first.
    pub(crate) fn all(&'static self) -> Vec<&'static Self> {
        let mut all = vec![self];
        for child in self.children {
            all.extend(child.all());
        }
        all
    }

    /// The command that stands for the program.
    pub(crate) fn root() -> &'static Self {
        &ROOT
    }

    /// The commands below this one.
    pub(crate) fn children(&self) -> &'static [Self] {
        self.children
    }
}

impl Group {
    fn new(path: &str, section: &Section) -> Self {
        Self {
            heading: Cow::Borrowed(section.heading),
            entries: section
                .flags
                .iter()
                .map(|flag| Entry::new(path, flag))
                .collect(),
        }
    }
}

impl Entry {
    fn new(path: &str, flag: &Flag) -> Self {
        Self {
            short: flag.short,
            long: Cow::Borrowed(flag.long),
            value: match flag.takes {
                Takes::Value(name) => Some(Cow::Borrowed(name)),
                Takes::Optional(_) => None,
            },
            help: Cow::Borrowed(flag.help),
            is_ours: origin::has_command(path) && !origin::tells_of_flag(path, flag.long),
            values: Vec::new(),
        }
    }

    /// The flag as it is typed, with the name of its value: `-n, --namespace <NS>`; flags without
    /// a letter leave room for one.
    pub(crate) fn spelling(&self) -> String {
        let letter = match self.short {
            Some(letter) => format!("-{letter}, "),
            None => "    ".to_owned(),
        };
        match &self.value {
            Some(name) => format!("{letter}--{} <{name}>", self.long),
            None => format!("{letter}--{}", self.long),
        }
    }
}

/// The words that a command takes besides flags.
fn arguments(path: &str) -> &'static str {
    match path {
        "palomar config get" | "palomar config reset" => "[KEY]",
        "palomar config set" => "KEY [VALUE]",
        "palomar doctor" => "[TARGET...]",
        "palomar help" | "palomar man" => "[COMMAND...]",
        "palomar metrics plan" => "CONFIG",
        _ => "",
    }
}

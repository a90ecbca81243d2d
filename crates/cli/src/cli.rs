//! The commands: which one a command line means, with which flags.

mod topic;
mod tree;

use crate::command::{completion::Shell, config::Verb};
use crate::config::Config;
use crate::flags::{self, Accept, Flag, Section, UsageError, ValueError, help::Page, value};
use crate::{hint, observe};
#[cfg(feature = "node")]
pub(crate) use topic::Group;
pub(crate) use topic::{Entry, Listed, Topic};
use tree::ROOT;

/// Flags of every command.
pub(crate) const GLOBAL: Section = Section {
    heading: "Global Flags",
    flags: &[
        Flag::value(
            "config",
            "FILE",
            "Take settings from this YAML file [default: ~/.config/palomar/config.yaml, else \
            ~/.config/hubble/config.yaml]",
        ),
        Flag::switch("debug", "Log what is going on, on standard error").short('D'),
        Flag::switch("help", "Print this text").short('h'),
    ],
};

/// A command, and those below it.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its name, and other names that mean the same.
    names: &'static [&'static str],
    pub(crate) page: Page,
    sections: &'static [Section],
    children: &'static [Command],
    /// What it does; without one it prints its help.
    pub(crate) action: Option<Action>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    AgentEvents,
    Completion(Shell),
    Config(Verb),
    DebugEvents,
    Doctor,
    #[cfg(feature = "node")]
    Export,
    Flows,
    Help,
    Manual,
    #[cfg(feature = "node")]
    MetricsPlan,
    Namespaces,
    #[cfg(feature = "node")]
    Node(crate::command::Node),
    Nodes,
    Peers,
    Reflect,
    Status,
    Top,
    Version,
}

/// Values of [`GLOBAL`], around those of a command.
#[derive(Debug, Default)]
pub(crate) struct Globals<T> {
    pub(crate) config_file: Option<String>,
    pub(crate) debug: bool,
    pub(crate) help: bool,
    /// What is configured; empty until the command runs.
    pub(crate) config: Config,
    pub(crate) command: T,
}

impl<T: Accept> Accept for Globals<T> {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        match flag.long {
            "config" => self.config_file = Some(text.to_owned()),
            "debug" => self.debug = value::switch(text)?,
            "help" => self.help = value::switch(text)?,
            _ => return self.command.accept(flag, text),
        }
        Ok(true)
    }
}

/// For commands without flags of their own.
impl Accept for () {
    fn accept(&mut self, _: &'static Flag, _: &str) -> Result<bool, ValueError> {
        Ok(false)
    }
}

impl Command {
    /// A command with others below it, that does nothing by itself.
    pub(crate) const fn parent(
        names: &'static [&'static str],
        page: Page,
        sections: &'static [Section],
        children: &'static [Self],
    ) -> Self {
        Self {
            names,
            page,
            sections,
            children,
            action: None,
        }
    }

    /// A command without others below it.
    pub(crate) const fn leaf(
        names: &'static [&'static str],
        page: Page,
        sections: &'static [Section],
        action: Action,
    ) -> Self {
        Self {
            names,
            page,
            sections,
            children: &[],
            action: Some(action),
        }
    }

    /// Finds the command that a line means. Its name and those of its parents are taken out of the
    /// line; what remains are its flags and arguments.
    ///
    /// # Errors
    /// The first word names no command.
    pub(crate) fn find(line: &mut Vec<String>) -> Result<&'static Command, UsageError> {
        let mut command = &ROOT;
        loop {
            let words = flags::words(line, command.known());
            let Some(&position) = words.first() else {
                return Ok(command);
            };
            let word = &line[position];
            match command.children.iter().find(|child| child.is_called(word)) {
                Some(child) => {
                    line.remove(position);
                    command = child;
                    if command.takes_rest() {
                        return Ok(command);
                    }
                }
                None if std::ptr::eq(command, &ROOT) => {
                    return Err(UsageError::UnknownCommand {
                        given: word.clone(),
                        suggestion: suggestion(word),
                    });
                }
                None => return Ok(command),
            }
        }
    }

    /// Applies the command's flags.
    ///
    /// # Errors
    /// The first thing on the line that is wrong.
    pub(crate) fn parse<T: Accept + Default>(
        &self,
        line: &[String],
    ) -> Result<Globals<T>, UsageError> {
        Ok(self.parse_words(line)?.0)
    }

    /// The same for a command that takes words besides flags.
    ///
    /// # Errors
    /// The first thing on the line that is wrong.
    pub(crate) fn parse_words<T: Accept + Default>(
        &self,
        line: &[String],
    ) -> Result<(Globals<T>, Vec<String>), UsageError> {
        let mut values = Globals::default();
        let words = flags::apply(&mut values, line, self.sections)?;
        Ok((values, words))
    }

    /// The help text.
    pub(crate) fn help(&self) -> String {
        flags::help::render(&self.topic())
    }

    /// Flags that may stand before the name of a command below this one.
    fn known(&self) -> &'static [Section] {
        if self.action.is_some() {
            self.sections
        } else {
            observe::args::FLOWS
        }
    }

    pub(crate) fn is_called(&self, word: &str) -> bool {
        self.names.contains(&word)
    }

    /// Whether another parser reads what follows.
    fn takes_rest(&self) -> bool {
        #[cfg(feature = "node")]
        if let Some(Action::Node(_)) = self.action {
            return true;
        }
        false
    }
}

/// Commands that a mistyped word may have meant, as the end of the message about it.
fn suggestion(word: &str) -> String {
    let names = ROOT.children.iter().map(|child| child.names[0]);
    let meant = hint::alike(word, names);
    if meant.is_empty() {
        return String::new();
    }
    let list: String = meant.iter().map(|name| format!("\t{name}\n")).collect();
    format!("\n\nDid you mean this?\n{list}")
}

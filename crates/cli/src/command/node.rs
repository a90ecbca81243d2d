//! The commands that run on a node. Their flags are their own: clap reads them.

use clap::{Args as _, FromArgMatches as _, error::ErrorKind};
use tracing::level_filters::LevelFilter;

use super::{agent, demo, relay};
use crate::cli::{Action, Command, Entry, GLOBAL, Group, Topic};
use crate::flags::help::Page;
use crate::{logging, program, signals};

/// A command that runs on a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Node {
    /// The observer of one node.
    Agent,
    /// A cluster on this machine.
    Demo,
    /// One stream out of those of many nodes.
    Relay,
}

impl Node {
    /// The command's place in the list of commands.
    pub(crate) const fn command(self) -> Command {
        let page = match self {
            Self::Agent => Page {
                path: "palomar agent",
                about: "Watch this node and serve its flows",
                details: "",
                examples: "",
            },
            Self::Demo => Page {
                path: "palomar demo",
                about: "Run a small cluster with real traffic on this machine",
                details: "",
                examples: "",
            },
            Self::Relay => Page {
                path: "palomar relay",
                about: "Serve the flows of many nodes as one stream",
                details: "",
                examples: "",
            },
        };
        Command::leaf(self.names(), page, &[GLOBAL], Action::Node(self))
    }

    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Agent => &["agent"],
            Self::Demo => &["demo"],
            Self::Relay => &["relay"],
        }
    }

    /// The command as clap knows it.
    fn parser(self, path: &'static str, about: &str) -> clap::Command {
        let command = clap::Command::new(path)
            .bin_name(program::renamed(path).into_owned())
            .about(about.to_owned())
            .no_binary_name(true)
            .arg(
                clap::Arg::new("debug")
                    .short('D')
                    .long("debug")
                    .help("Log what is going on, on standard error")
                    .action(clap::ArgAction::SetTrue),
            );
        match self {
            Self::Agent => agent::Args::augment_args(command),
            Self::Demo => demo::Args::augment_args(command),
            Self::Relay => relay::Args::augment_args(command),
        }
    }

    /// Adds what clap knows of the command to what there is to say of it.
    pub(crate) fn complete(self, topic: &mut Topic) {
        let mut command = self.parser(topic.path, &topic.about);
        command.build();
        let mut groups: Vec<Group> = Vec::new();
        for arg in command.get_arguments() {
            let Some(entry) = entry(arg) else { continue };
            let heading = arg.get_help_heading().unwrap_or("Flags").to_owned();
            match groups.iter_mut().find(|group| group.heading == heading) {
                Some(group) => group.entries.push(entry),
                None => groups.push(Group {
                    heading: heading.into(),
                    entries: vec![entry],
                }),
            }
        }
        topic.groups = groups;
        if let Some(about) = command.get_about() {
            topic.about = about.to_string();
        }
        if let Some(examples) = command.get_after_help() {
            topic.examples = examples.to_string();
        }
    }

    /// Reads the flags and runs the command until it ends or a signal asks it to.
    pub(crate) fn run(self, page: &Page, line: &[String]) -> anyhow::Result<()> {
        let matches = match self
            .parser(page.path, page.about)
            .try_get_matches_from(line)
        {
            Ok(matches) => matches,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return super::print(&program::renamed(&error.render().to_string()));
            }
            Err(error) => {
                let text = one_line(&error.render().to_string());
                let path = program::renamed(page.path);
                return Err(anyhow::anyhow!("{text}; see '{path} --help'"));
            }
        };
        logging::start(matches.get_flag("debug"), LevelFilter::INFO);
        if self == Self::Agent {
            // While there is one thread: privileges are each thread's own.
            flow_observer::source::probes::drop_others()?;
        }
        let pace = ::relay::Pace::default();
        let runtime = if self == Self::Relay {
            pace.runtime()?
        } else {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
        };
        runtime.block_on(async {
            let shutdown = signals::shutdown()?;
            match self {
                Self::Agent => agent::run(agent::Args::from_arg_matches(&matches)?, shutdown).await,
                Self::Demo => demo::run(demo::Args::from_arg_matches(&matches)?, shutdown).await,
                Self::Relay => {
                    relay::run(relay::Args::from_arg_matches(&matches)?, pace, shutdown).await
                }
            }
        })
    }
}

/// A flag as clap knows it; `None` for what is no flag, or hidden.
fn entry(arg: &clap::Arg) -> Option<Entry> {
    let long = arg.get_long().filter(|_| !arg.is_hide_set())?.to_owned();
    let takes_value = arg.get_action().takes_values();
    let value = takes_value.then(|| match arg.get_value_names() {
        Some(names) => names.join("> <"),
        None => long.to_uppercase(),
    });
    let mut help = arg
        .get_long_help()
        .or_else(|| arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let values: Vec<String> = if takes_value {
        let possible = arg.get_possible_values();
        possible
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| value.get_name().to_owned())
            .collect()
    } else {
        Vec::new()
    };
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|v| v.to_string_lossy())
        .collect();
    if takes_value && !defaults.is_empty() {
        help = format!("{help} [default: {}]", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        help = format!("{help} [env: {}]", variable.to_string_lossy());
    }
    if !values.is_empty() {
        help = format!("{help} [values: {}]", values.join(", "));
    }
    Some(Entry {
        short: arg.get_short(),
        long: long.into(),
        value: value.map(Into::into),
        help: help.into(),
        is_ours: false,
        values,
    })
}

/// clap's message without its usage lines, as one line.
fn one_line(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let line = lines.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

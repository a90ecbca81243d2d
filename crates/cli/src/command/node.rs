//! The commands that run on a node. Their flags are their own: clap reads them.

use clap::{Args as _, FromArgMatches as _, error::ErrorKind};
use tracing::level_filters::LevelFilter;

use super::{agent, demo, relay};
use crate::cli::{Action, Command, GLOBAL};
use crate::flags::help::Page;
use crate::{logging, signals};

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
        Command::new(self.names(), page, &[GLOBAL], Action::Node(self))
    }

    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Agent => &["agent"],
            Self::Demo => &["demo"],
            Self::Relay => &["relay"],
        }
    }

    /// Reads the flags and runs the command until it ends or a signal asks it to.
    pub(crate) fn run(self, page: &Page, line: &[String]) -> anyhow::Result<()> {
        let command = clap::Command::new(page.path)
            .bin_name(page.path)
            .about(page.about)
            .no_binary_name(true)
            .arg(
                clap::Arg::new("debug")
                    .short('D')
                    .long("debug")
                    .help("Log what is going on, on standard error")
                    .action(clap::ArgAction::SetTrue),
            );
        let command = match self {
            Self::Agent => agent::Args::augment_args(command),
            Self::Demo => demo::Args::augment_args(command),
            Self::Relay => relay::Args::augment_args(command),
        };
        let matches = match command.try_get_matches_from(line) {
            Ok(matches) => matches,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return super::print(&error.render().to_string());
            }
            Err(error) => {
                let text = one_line(&error.render().to_string());
                return Err(anyhow::anyhow!("{text}; see '{} --help'", page.path));
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

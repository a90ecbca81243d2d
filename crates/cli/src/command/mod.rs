//! What each command does.

#[cfg(feature = "node")]
mod agent;
pub(crate) mod completion;
pub(crate) mod config;
#[cfg(feature = "node")]
mod demo;
#[cfg(feature = "node")]
pub(crate) mod export;
mod list;
#[cfg(feature = "node")]
pub(crate) mod metrics;
#[cfg(feature = "node")]
mod node;
mod observe;
pub(crate) mod output;
mod reflect;
#[cfg(feature = "node")]
mod relay;
#[cfg(feature = "node")]
mod serving;
mod status;
mod uptime;
pub(crate) mod version;
mod watch;

use std::io::{self, Write as _};

use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use crate::cli::{Action, Command, Globals};
use crate::config::Config;
use crate::flags::Accept;
use crate::settings::ServerArgs;
use crate::{complete, logging, manual};

#[cfg(feature = "node")]
pub(crate) use agent::aggregation;
#[cfg(feature = "node")]
pub(crate) use node::Node;
#[cfg(feature = "node")]
pub(crate) use observe::show;

/// Runs the command that a line means. The line does not hold the program's name.
pub(crate) fn run(mut line: Vec<String>) -> anyhow::Result<()> {
    if let Some((complete::COMMAND, words)) = line.split_first().map(|(a, b)| (a.as_str(), b)) {
        return complete::run(words);
    }
    let command = Command::find(&mut line)?;
    let line = &line;
    match command.action {
        Some(Action::AgentEvents) => client(command, line, observe::agent_events),
        Some(Action::Completion(shell)) => {
            asked_nobody(command, line, |_, _| print(&shell.script()))
        }
        Some(Action::Config(verb)) => asked_nobody(command, line, |globals, words| {
            config::run(verb, globals, words)
        }),
        Some(Action::DebugEvents) => client(command, line, observe::debug_events),
        Some(Action::Doctor) => examine(command, line),
        #[cfg(feature = "node")]
        Some(Action::Export) => client(command, line, export::run),
        Some(Action::Flows) => client(command, line, observe::flows),
        Some(Action::Help) => help(line),
        Some(Action::Manual) => {
            let (globals, words) = command.parse_words::<manual::Args>(line)?;
            if globals.help {
                return print(&command.help());
            }
            manual::run(&globals, words)
        }
        #[cfg(feature = "node")]
        Some(Action::MetricsPlan) => {
            let (globals, words) = command.parse_words(line)?;
            start(command, globals, async |globals, shutdown| {
                metrics::plan(globals, words, shutdown).await
            })
        }
        Some(Action::Namespaces) => plain(command, line, list::namespaces),
        #[cfg(feature = "node")]
        Some(Action::Node(node)) => node.run(&command.page, line),
        Some(Action::Nodes) => plain(command, line, list::nodes),
        Some(Action::Peers) => plain(command, line, watch::peers),
        Some(Action::Reflect) => plain(command, line, reflect::run),
        Some(Action::Status) => plain(command, line, status::run),
        Some(Action::Top) => client(command, line, crate::top::run),
        Some(Action::Version) => asked_nobody(command, line, |_, _| print(&version::text())),
        None => match command.parse::<version::Args>(line)? {
            globals if globals.command.version && !globals.help => print(&version::short()),
            _ => print(&command.help()),
        },
    }
}

/// Runs `doctor`, which takes servers behind its flags, and tells mistakes there by its exit code.
fn examine(command: &Command, line: &[String]) -> anyhow::Result<()> {
    let parsed = command.parse_words(line);
    let (globals, targets) = parsed.map_err(crate::doctor::Exit::usage)?;
    start(command, globals, async |globals, shutdown| {
        crate::doctor::run(globals, targets, shutdown).await
    })
}

/// Parses the flags of a command that asks nobody, and runs it with the words behind its name.
fn asked_nobody(
    command: &Command,
    line: &[String],
    run: impl FnOnce(Globals<ServerArgs>, &[String]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (globals, words) = command.parse_words(line)?;
    if globals.help {
        return print(&command.help());
    }
    run(globals, &words)
}

/// Parses the flags of a command of the client and runs it. Signals ask it to end.
fn client<T: Accept + Default>(
    command: &Command,
    line: &[String],
    run: impl AsyncFnOnce(Globals<T>, CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    start(command, command.parse::<T>(line)?, run)
}

/// The same for a command that has nothing to finish: signals end it, and who started it learns so.
fn plain<T: Accept + Default>(
    command: &Command,
    line: &[String],
    run: impl AsyncFnOnce(Globals<T>, CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    begin(command, command.parse::<T>(line)?, async |globals| {
        run(globals, CancellationToken::new()).await
    })
}

/// Runs a command of the client on this thread, until it ends or a signal asks it to.
fn start<T>(
    command: &Command,
    globals: Globals<T>,
    run: impl AsyncFnOnce(Globals<T>, CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    begin(command, globals, async |globals| {
        let shutdown = crate::signals::shutdown()?;
        run(globals, shutdown).await
    })
}

/// Runs a command of the client on this thread.
fn begin<T>(
    command: &Command,
    mut globals: Globals<T>,
    run: impl AsyncFnOnce(Globals<T>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if globals.help {
        return print(&command.help());
    }
    globals.config = Config::load(globals.config_file.as_deref());
    globals.debug |= globals.config.wants_debug();
    logging::start(globals.debug, LevelFilter::WARN);
    globals.config.log();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(globals));
    // A thread that waits for standard input would hold us up.
    runtime.shutdown_background();
    result
}

/// Prints the help text of the command that the words name, as far as they name one.
fn help(line: &[String]) -> anyhow::Result<()> {
    let mut words = line.to_vec();
    match Command::find(&mut words) {
        Ok(command) => print(&command.help()),
        Err(error) => {
            Command::find(&mut Vec::new())?;
            eprintln!("{error}");
            Ok(())
        }
    }
}

/// Writes a text to standard output, and a line end if it has none.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_bytes(text.as_bytes())
}

pub(crate) fn print_bytes(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    if !text.ends_with(b"\n") {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()?;
    Ok(())
}

/// A duration as people write it.
#[cfg(feature = "node")]
fn duration(text: &str) -> anyhow::Result<std::time::Duration> {
    use anyhow::Context as _;
    let nanoseconds = crate::flags::value::duration_ns(text)
        .context("expected a duration such as 1s or 500ms")?;
    let nanoseconds = u64::try_from(nanoseconds).context("expected a time that is not negative")?;
    Ok(std::time::Duration::from_nanos(nanoseconds))
}

//! How far long work is, on a terminal.
//!
//! Whoever works says how much it did ([`Progress::advance`]); whoever prints says so before it does
//! ([`Progress::make_way`]). Nothing is drawn in the first moments, nor where it could get between what
//! others draw: standard error must be a terminal, and standard output must not be a pipe, since behind it
//! may be a program that draws on the same terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsFd as _,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use tokio_util::{sync::CancellationToken, sync::DropGuard};

/// Work that is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// A bar, or nothing. Clones are of the same bar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Option<Shown>);

#[derive(Clone, Debug)]
struct Shown {
    bar: ProgressBar,
    /// Ends the wait for the first moments.
    _waiting: std::sync::Arc<DropGuard>,
    has_gone: CancellationToken,
}

impl Progress {
    /// For a file of that many bytes that is read; of unknown length for `None`.
    pub(crate) fn of_bytes(length: Option<u64>) -> Self {
        Self::start(
            length,
            match length {
                Some(_) => {
                    "{bar:30} {percent}%  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left"
                }
                None => "{spinner} {bytes}  {bytes_per_sec}  {elapsed}",
            },
            "",
        )
    }

    /// For an answer that is waited for.
    pub(crate) fn of_answer(server: &str) -> Self {
        Self::start(None, "{spinner} waiting for {msg}  {elapsed}", server)
    }

    fn start(length: Option<u64>, template: &str, message: &str) -> Self {
        if !may_draw() {
            return Self::default();
        }
        // The templates are ours, and right.
        let Ok(style) = ProgressStyle::with_template(template) else {
            return Self::default();
        };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden())
            .with_style(style)
            .with_message(message.replace(char::is_control, "?"));
        let has_gone = CancellationToken::new();
        let shown = bar.clone();
        let waiting = has_gone.clone();
        tokio::spawn(async move {
            let wait = tokio::time::sleep(PATIENCE);
            if waiting.run_until_cancelled(wait).await.is_some() {
                shown.set_draw_target(ProgressDrawTarget::term_like(Box::new(Narrow)));
                shown.enable_steady_tick(TICK);
                waiting.cancelled().await;
            }
            shown.finish_and_clear();
        });
        Self(Some(Shown {
            bar,
            _waiting: std::sync::Arc::new(has_gone.clone().drop_guard()),
            has_gone,
        }))
    }

    /// So much more is done.
    pub(crate) fn advance(&self, amount: u64) {
        if let Some(shown) = &self.0 {
            shown.bar.inc(amount);
        }
    }

    /// The work is done, or given up.
    pub(crate) fn finish(&self) {
        if let Some(shown) = &self.0 {
            shown.has_gone.cancel();
            shown.bar.finish_and_clear();
        }
    }

    /// Something is about to be printed. On a terminal this says how far things are; elsewhere the bar
    /// goes on.
    pub(crate) fn make_way(&self) {
        if self.0.is_some() && io::stdout().is_terminal() {
            self.finish();
        }
    }

    /// Prints something on standard error, where the bar is.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(shown) => shown.bar.suspend(print),
            None => print(),
        }
    }
}

/// Standard error, as if it were a little narrower. Bars fill their line, and the `^C` that a terminal
/// shows behind one would begin a line of its own, so that the bar could not be taken away.
#[derive(Debug)]
struct Narrow;

/// Room for `^C`, pressed twice.
const MARGIN: u16 = 5;

impl Narrow {
    fn write(text: std::fmt::Arguments<'_>) -> io::Result<()> {
        io::stderr().lock().write_fmt(text)
    }

    fn step(by: usize, command: char) -> io::Result<()> {
        match by {
            // The terminal would take no number for one.
            0 => Ok(()),
            by => Self::write(format_args!("\x1b[{by}{command}")),
        }
    }
}

impl TermLike for Narrow {
    fn width(&self) -> u16 {
        let size = crossterm::terminal::size();
        size.map_or(80, |(width, _)| width).saturating_sub(MARGIN)
    }

    fn move_cursor_up(&self, by: usize) -> io::Result<()> {
        Self::step(by, 'A')
    }

    fn move_cursor_down(&self, by: usize) -> io::Result<()> {
        Self::step(by, 'B')
    }

    fn move_cursor_right(&self, by: usize) -> io::Result<()> {
        Self::step(by, 'C')
    }

    fn move_cursor_left(&self, by: usize) -> io::Result<()> {
        Self::step(by, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        Self::write(format_args!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        Self::write(format_args!("{text}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        Self::write(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn may_draw() -> bool {
    io::stderr().is_terminal() && (io::stdout().is_terminal() || !is_pipe())
}

/// Whether standard output is a pipe or a socket, and not a file. What cannot be told counts as one.
fn is_pipe() -> bool {
    let file = io::stdout().as_fd().try_clone_to_owned();
    let metadata = file.and_then(|file| std::fs::File::from(file).metadata());
    metadata.map_or(true, |metadata| !metadata.is_file())
}

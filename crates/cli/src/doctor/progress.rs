//! How far it is, on a terminal's standard error.

use std::io::{IsTerminal as _, Write as _};

/// A line that is written over until it is gone.
pub(super) struct Progress {
    is_shown: bool,
    all: usize,
    done: usize,
}

impl Progress {
    /// Of so many servers; nothing is shown for one.
    pub(super) fn new(all: usize) -> Self {
        let progress = Self {
            is_shown: all > 1 && std::io::stderr().is_terminal(),
            all,
            done: 0,
        };
        progress.show();
        progress
    }

    /// Makes room for a line on standard output, which may be the same terminal.
    pub(super) fn step_aside(&self) {
        self.write("\r\x1b[K");
    }

    /// One more is done.
    pub(super) fn advance(&mut self) {
        self.done += 1;
        if self.done < self.all {
            self.show();
        }
    }

    fn show(&self) {
        self.write(&format!("\r\x1b[Kchecked {} of {}", self.done, self.all));
    }

    fn write(&self, text: &str) {
        if self.is_shown {
            // Nothing depends on it.
            std::io::stderr().write_all(text.as_bytes()).ok();
        }
    }
}

//! The terminal, taken for a screen of our own and given back.

use std::io::{self, Stdout, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::{
    cursor::Show,
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use ratatui::{Terminal, backend::CrosstermBackend};

use crate::logging;

/// Whether the terminal is ours at the moment. Giving it back twice would clear what stands there.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A screen of our own. The terminal is as before once this is dropped, and also when the program
/// panics.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It cannot be read key by key, or not be written.
    pub(super) fn take() -> io::Result<Self> {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // The message would be lost with our screen.
            give_back();
            hook(panic);
        }));
        IS_TAKEN.store(true, Ordering::SeqCst);
        logging::silence(true);
        // From here on, dropping it gives the terminal back.
        let screen = Self {
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
        };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }

    pub(super) fn terminal(&mut self) -> &mut Terminal<CrosstermBackend<Stdout>> {
        &mut self.terminal
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Each of these is tried whatever became of the others: nothing more can be done.
    disable_raw_mode().ok();
    execute!(io::stdout(), LeaveAlternateScreen, Show).ok();
    io::stdout().flush().ok();
    logging::silence(false);
}

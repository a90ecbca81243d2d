//! The binary, or a shell, on a real pseudo-terminal, with a screen that understands what it draws.

use std::{
    io::{Read as _, Write as _},
    num::NonZeroU16,
    process::Child,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pty_process::{
    Size,
    blocking::{Command, Pty, open},
};

/// Longer than anything that is waited for takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A terminal, and the program that runs on it.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
}

/// What the program wrote.
struct Seen {
    screen: vt100::Parser,
    raw: Vec<u8>,
}

/// What is left when the program has ended.
pub(crate) struct Left {
    pub(crate) code: Option<i32>,
    /// All that was written.
    pub(crate) raw: String,
    /// What stands on the screen.
    pub(crate) screen: String,
    pub(crate) is_alternate: bool,
    pub(crate) is_cursor_hidden: bool,
    /// Whether what is typed is shown and read line by line, as a shell wants it.
    pub(crate) is_cooked: bool,
}

impl Terminal {
    /// Runs the binary with these arguments on a terminal of so many rows and columns.
    pub(crate) fn run(args: &[&str], size: (u16, u16)) -> Self {
        Self::run_with(args, size, &[])
    }

    /// The same with an environment.
    pub(crate) fn run_with(args: &[&str], size: (u16, u16), env: &[(&str, &str)]) -> Self {
        Self::start(env!("CARGO_BIN_EXE_palomar"), size, |command| {
            command.args(args).envs(env.iter().copied())
        })
    }

    /// Runs a line of shell, in which `$palomar` is the binary.
    pub(crate) fn run_line(line: &str, size: (u16, u16)) -> Self {
        Self::start("sh", size, |command| {
            command
                .args(["-c", line])
                .env("palomar", env!("CARGO_BIN_EXE_palomar"))
                .env("PATH", "/usr/bin:/bin")
        })
    }

    /// Starts a program that has nothing of this machine but what `prepare` gives it.
    pub(crate) fn start(
        program: &str,
        (rows, columns): (u16, u16),
        prepare: impl FnOnce(Command) -> Command,
    ) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let command = Command::new(program)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("TZ", "UTC")
            .env("TERM", "xterm-256color");
        let child = prepare(command).spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let seen = Arc::new(Mutex::new(Seen {
            screen: vt100::Parser::new(number(rows), number(columns), 1_000),
            raw: Vec::new(),
        }));
        let reader = std::thread::spawn({
            let (pty, seen) = (Arc::clone(&pty), Arc::clone(&seen));
            move || {
                let mut bytes = [0; 4096];
                // The last one to have the terminal open is gone when this fails.
                while let Ok(length @ 1..) = (&*pty).read(&mut bytes) {
                    let mut seen = seen.lock().unwrap();
                    seen.screen.process(&bytes[..length]);
                    seen.raw.extend(&bytes[..length]);
                }
            }
        });
        Self {
            pty,
            child,
            seen,
            reader: Some(reader),
        }
    }

    /// What stands on the screen now.
    pub(crate) fn screen(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// All that was written so far.
    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().raw).into_owned()
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub(crate) fn wait_for(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        self.wait(Self::screen, is_wanted)
    }

    /// Waits until this has been written, whether it still stands on the screen or not.
    #[track_caller]
    pub(crate) fn wait_for_raw(&self, text: &str) {
        self.wait(Self::raw, |raw| raw.contains(text));
    }

    #[track_caller]
    fn wait(&self, look: impl Fn(&Self) -> String, is_wanted: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            // What came last counts.
            let is_over = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            let found = look(self);
            if is_wanted(&found) {
                return found;
            }
            assert!(!is_over && begin.elapsed() < DEADLINE, "{found}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until these words are on the screen.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(|screen| screen.contains(text))
    }

    /// Whether something is written on the screen in colour.
    pub(crate) fn has_color(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        let screen = seen.screen.screen();
        let (rows, columns) = screen.size();
        let mut cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |it| (row, it)));
        cells.any(|(row, column)| {
            let cell = screen.cell(row, column);
            cell.is_some_and(|cell| cell.fgcolor() != vt100::Color::Default)
        })
    }

    pub(crate) fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let mut seen = self.seen.lock().unwrap();
        seen.screen.set_size(number(rows), number(columns));
        drop(seen);
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub(crate) fn left(mut self) -> Left {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                begin.elapsed() < DEADLINE,
                "does not end: {}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        self.reader.take().unwrap().join().unwrap();
        let modes = nix::sys::termios::tcgetattr(&*self.pty)
            .unwrap()
            .local_flags;
        let raw = self.raw();
        let seen = self.seen.lock().unwrap();
        let screen = seen.screen.screen();
        Left {
            code: status.code(),
            raw,
            screen: screen.contents(),
            is_alternate: screen.alternate_screen(),
            is_cursor_hidden: screen.hide_cursor(),
            is_cooked: modes.contains(nix::sys::termios::LocalFlags::ICANON)
                && modes.contains(nix::sys::termios::LocalFlags::ECHO),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Of one that has ended there is nothing left to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

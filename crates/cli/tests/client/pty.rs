//! The binary on a real pseudo-terminal, with a screen that understands what it draws.

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
    reader: JoinHandle<()>,
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
        let command = Command::new(env!("CARGO_BIN_EXE_palomar")).args(args);
        Self::spawn(command, size, env)
    }

    /// Runs a line of shell, in which `$palomar` is the binary.
    pub(crate) fn run_line(line: &str, size: (u16, u16)) -> Self {
        let command = Command::new("sh").args(["-c", line]);
        let binary = env!("CARGO_BIN_EXE_palomar");
        Self::spawn(
            command,
            size,
            &[("palomar", binary), ("PATH", "/usr/bin:/bin")],
        )
    }

    fn spawn(command: Command, (rows, columns): (u16, u16), env: &[(&str, &str)]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let child = command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("TZ", "UTC")
            .env("TERM", "xterm-256color")
            .envs(env.iter().copied())
            .spawn(pts)
            .unwrap();
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
            reader,
        }
    }

    /// What stands on the screen now.
    pub(crate) fn screen(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub(crate) fn wait_for(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if is_wanted(&screen) {
                return screen;
            }
            let late = begin.elapsed() > DEADLINE || self.reader.is_finished();
            // What came last counts.
            assert!(!late || is_wanted(&self.screen()), "{}", self.screen());
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
            if begin.elapsed() > DEADLINE {
                self.child.kill().unwrap();
                panic!("does not end: {}", self.screen());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.reader.join().unwrap();
        let modes = nix::sys::termios::tcgetattr(&*self.pty)
            .unwrap()
            .local_flags;
        let seen = self.seen.lock().unwrap();
        let screen = seen.screen.screen();
        Left {
            code: status.code(),
            raw: String::from_utf8_lossy(&seen.raw).into_owned(),
            screen: screen.contents(),
            is_alternate: screen.alternate_screen(),
            is_cursor_hidden: screen.hide_cursor(),
            is_cooked: modes.contains(nix::sys::termios::LocalFlags::ICANON)
                && modes.contains(nix::sys::termios::LocalFlags::ECHO),
        }
    }
}

fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

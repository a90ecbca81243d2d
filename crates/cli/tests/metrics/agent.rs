//! An agent as a child process, which reads flows from a file or a pipe, and serves metrics.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStdin, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_palomar");

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What Prometheus 2 says it reads.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
     text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Waits for a condition.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An agent's arguments before those of a test.
fn command(folder: &Path, source: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(["agent", "--source", source, "--kubernetes", "off"])
        .args(["--containers", "off", "--node-name", "node-1", "--socket"])
        .arg(folder.join("observer.sock"))
        .args(["--metrics-listen", "127.0.0.1:0"])
        .args(flags)
        .env_remove("PALOMAR_LOG")
        .stdout(Stdio::null());
    command
}

pub(crate) struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    address: SocketAddr,
    pub(crate) folder: TempDir,
}

impl Agent {
    /// One that reads from a pipe.
    pub(crate) fn fed(flags: &[&str]) -> Self {
        Self::start("replay:-", flags)
    }

    /// One that reads a file. All of it is kept, so that nothing is gone before it is counted.
    pub(crate) fn of(flows: &Path, flags: &[&str]) -> Self {
        let source = format!("replay:{}", flows.display());
        let flags = [&["--ring-capacity", "65535"], flags].concat();
        Self::start(&source, &flags)
    }

    pub(crate) fn start(source: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("log");
        let mut child = command(folder.path(), source, flags)
            .stdin(Stdio::piped())
            .stderr(fs::File::create(&path).unwrap())
            .spawn()
            .unwrap();
        let mut address = None;
        wait_for("metrics are served", || {
            let log = fs::read_to_string(&path).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{log}");
            let line = log.lines().find(|it| it.contains("metrics are served"));
            let told = line.and_then(|it| it.split_once("address="));
            address = told.and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            address.is_some()
        });
        Self {
            input: child.stdin.take(),
            child,
            address: address.unwrap(),
            folder,
        }
    }

    /// What an agent that does not start says.
    pub(crate) fn refused(flags: &[&str]) -> String {
        let folder = TempDir::new().unwrap();
        let Output { status, stderr, .. } = command(folder.path(), "none", flags)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8(stderr).unwrap();
        assert!(!status.success(), "{told}");
        told
    }

    /// Gives it lines to read.
    pub(crate) fn feed(&mut self, lines: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(lines.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Head and body of the page, for those who say that they read this; for others, if it is empty.
    pub(crate) fn get(&self, accept: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let accept = match accept {
            "" => String::new(),
            accept => format!("accept: {accept}\r\n"),
        };
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: agent\r\n{accept}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        (head.to_ascii_lowercase(), body.to_owned())
    }

    /// The page as people get it.
    pub(crate) fn page(&self) -> String {
        self.get("").1
    }

    /// Waits until the page has this line.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, line: &str) {
        wait_for(line, || self.page().lines().any(|it| it == line));
    }

    /// Waits until no line of the page begins so.
    #[track_caller]
    pub(crate) fn wait_for_none(&self, begin: &str) {
        wait_for(&format!("no {begin}"), || self.lines(begin).is_empty());
    }

    /// The lines of the page that begin so.
    pub(crate) fn lines(&self, begin: &str) -> Vec<String> {
        let page = self.page();
        let mut lines: Vec<_> = page
            .lines()
            .filter(|it| it.starts_with(begin))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

//! Disks that are full, folders that are closed or gone: the agent goes on, tells, and recovers.

use std::{
    fs::{self, Permissions},
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::{
    agent::{Agent, BINARY, flow_lines, wait_for},
    flows::{lines, numbers},
};

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A small file system in memory, for as long as the test takes.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &str) -> Self {
        let small = Self(tempfile::tempdir().unwrap());
        small.mount(size, MsFlags::empty());
        small
    }

    fn mount(&self, size: &str, flags: MsFlags) {
        let options = format!("size={size}");
        mount(
            Some("tmpfs"),
            self.path(),
            Some("tmpfs"),
            flags,
            Some(options.as_str()),
        )
        .unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if let Err(error) = umount2(self.path(), MntFlags::MNT_DETACH) {
            eprintln!("a small file system is left: {error}");
        }
    }
}

/// Every line of a file is whole.
#[track_caller]
fn assert_whole(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "{}",
        path.display()
    );
    for line in text.lines() {
        assert!(
            serde_json::from_str::<serde_json::Value>(line).is_ok(),
            "{line}"
        );
    }
}

#[test]
fn a_full_disk_tears_no_line_and_is_written_to_again() {
    if !is_root() {
        println!("needs root, to mount a small file system");
        return;
    }
    let disk = Small::new("2m");
    let path = disk.path().join("flows.log");
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 1600 << 10]).unwrap();
    let file = path.to_str().unwrap();
    let mut agent = Agent::start(&["--export-file", file, "--ring-capacity=1100"]);
    // Some 600 KB.
    agent.feed(&lines(0..1000));
    wait_for("the disk is full", || {
        agent.status().contains("No space left")
    });
    assert_whole(&path);
    let before = flow_lines(&path).len();
    assert!(before > 100, "{before}");
    // So many that some leave the ring.
    agent.feed(&lines(1000..3000));
    wait_for("it is counted", || {
        agent.status().contains("export, lost, static, no_space")
    });
    let log = agent.log();
    assert_eq!(log.matches("cannot export").count(), 1, "{log}");
    let server = agent.server();
    wait_for("all are read", || {
        let output = Command::new(BINARY)
            .args(["observe", "--last", "1", "-o", "json", "--server", &server])
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("00002999")
    });
    fs::remove_file(&ballast).unwrap();
    wait_for("it goes on", || agent.log().contains("exporting again"));
    agent.feed(&lines(3000..3001));
    let told = || -> u64 {
        let text = fs::read_to_string(&path).unwrap();
        let gaps = text.lines().filter_map(|line| {
            let (_, rest) = line.split_once("\"num_events_lost\":\"")?;
            rest.split('"').next()?.parse::<u64>().ok()
        });
        gaps.sum()
    };
    // Each flow is in the file or in a gap that the file tells of.
    wait_for("all is told", || {
        flow_lines(&path).len() as u64 + told() == 3001
    });
    agent.end();
    assert_whole(&path);
    let written = numbers(&flow_lines(&path));
    assert!(written.is_sorted() && written.contains(&3000));
}

#[test]
fn a_read_only_file_system_is_told_by_status_and_metrics_and_written_to_when_it_is_none() {
    if !is_root() {
        println!("needs root, to mount a small file system");
        return;
    }
    let disk = Small::new("8m");
    disk.mount("8m", MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
    let path = disk.path().join("flows.log");
    let file = path.to_str().unwrap();
    let mut agent = Agent::start(&["--export-file", file, "--metrics-listen", "127.0.0.1:0"]);
    agent.feed(&lines(0..10));
    wait_for("it is told", || {
        agent.status().contains("Read-only file system")
    });
    let address = address_of_metrics(&agent.log());
    let metric = |name: &str| {
        let page = scrape(&address);
        let line = page.lines().find(|line| line.starts_with(name));
        line.map_or(0, |line| {
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        })
    };
    wait_for("metrics tell", || {
        metric("palomar_export_errors_total{") > 0
    });
    disk.mount("8m", MsFlags::MS_REMOUNT);
    wait_for("all is written", || flow_lines(&path).len() == 10);
    wait_for("metrics tell of the lines", || {
        metric("palomar_export_lines_total{") >= 10
    });
    assert!(agent.end().contains("exporting again"));
    assert_whole(&path);
}

/// Where an agent that observes serves its metrics, as its log says.
fn address_of_metrics(log: &str) -> String {
    let line = log.lines().find(|line| line.contains("metrics are served"));
    let (_, address) = line.unwrap().rsplit_once("address=").unwrap();
    address.trim().to_owned()
}

/// The metrics of an agent; nothing if it does not serve them yet.
fn scrape(address: &str) -> String {
    let mut page = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let asked = stream.write_all(request);
        asked
            .and_then(|()| stream.read_to_string(&mut page))
            .unwrap();
    }
    page
}

#[test]
fn a_folder_without_permission_is_tried_again() {
    if !is_root() {
        println!("needs root, to become somebody else");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("flows.log");
    // A copy where anybody may run it.
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(BINARY)
        .env("HOME", "/nonexistent");
    let socket = shared.path().join("s.sock");
    command.args([
        "agent",
        "--source",
        "replay:-",
        "--kubernetes",
        "off",
        "--containers",
        "off",
    ]);
    command.arg("--socket").arg(&socket);
    command.arg("--export-file").arg(&path);
    let log = shared.path().join("log");
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, lines(0..10).as_bytes()).unwrap();
    let read_log = || fs::read_to_string(&log).unwrap();
    if !is_started(&mut child, &read_log) {
        println!("this binary cannot be run by others: {}", read_log());
        return;
    }
    wait_for("it is told", || read_log().contains("Permission denied"));
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    wait_for("it is written", || flow_lines(&path).len() == 10);
    assert!(read_log().contains("exporting again"), "{}", read_log());
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Whether an agent is up, or has ended.
fn is_started(child: &mut std::process::Child, log: &dyn Fn() -> String) -> bool {
    let mut has_ended = false;
    wait_for("it starts or ends", || {
        has_ended = child.try_wait().unwrap().is_some();
        has_ended || log().contains("agent ready")
    });
    !has_ended
}

#[test]
fn a_folder_that_is_removed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/flows.log");
    let mut agent = Agent::start(&["--export-file", path.to_str().unwrap()]);
    agent.feed(&lines(0..10));
    wait_for("they are written", || flow_lines(&path).len() == 10);
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    agent.feed(&lines(10..20));
    wait_for("the others are written", || flow_lines(&path).len() == 10);
    assert_eq!(numbers(&flow_lines(&path))[0], 10);
    // A file where the folder was keeps it from that, until it is gone.
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("a"), "").unwrap();
    agent.feed(&lines(20..30));
    wait_for("it is told", || {
        agent.status().contains("Export: static to")
            && agent.status().contains("cannot make the folder")
    });
    fs::remove_file(folder.path().join("a")).unwrap();
    wait_for("they are written in the end", || {
        flow_lines(&path).len() == 10
    });
    agent.end();
    assert_eq!(numbers(&flow_lines(&path)), (20..30).collect::<Vec<_>>());
}

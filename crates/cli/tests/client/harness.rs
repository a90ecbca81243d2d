//! Runs the binary, and makes flows for it to show.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The standard output of a run that must have gone well and said nothing else.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        self.stdout
    }

    /// The message of a run that must have failed and printed nothing.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""));
        self.stderr
    }
}

/// The binary with an environment that holds nothing of this machine.
pub(crate) fn palomar(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palomar"));
    command
        .args(args)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// Runs the binary without input.
pub(crate) fn run(args: &[&str]) -> Ran {
    finished(palomar(args).output().unwrap())
}

/// Runs the binary with `input` on its standard input.
pub(crate) fn run_with(args: &[&str], input: &str) -> Ran {
    let mut child = palomar(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // The child need not read to the end.
        stdin.write_all(input.as_bytes()).ok();
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    finished(output)
}

/// What a process left behind.
pub(crate) fn finished(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `observe --input-file -` with these flags, on these lines.
pub(crate) fn observe(flags: &[&str], lines: &[&str]) -> Ran {
    let mut args = vec!["observe", "--input-file", "-"];
    args.extend(flags);
    run_with(&args, &lines.join("\n"))
}

/// A part of Palomar that runs until the test ends.
#[cfg(feature = "node")]
pub(crate) struct Running(pub(crate) std::process::Child);

#[cfg(feature = "node")]
impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Asks again until the answer is as it should be, which takes as long as things need to start.
#[cfg(feature = "node")]
#[track_caller]
pub(crate) fn eventually(args: &[&str], is_right: impl Fn(&Ran) -> bool) -> Ran {
    let begun = std::time::Instant::now();
    loop {
        let ran = run(args);
        if is_right(&ran) {
            return ran;
        }
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(60),
            "{ran:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A web server asks a database.
pub(crate) const ASKS: &str = r#"{"flow":{"time":"2026-03-01T09:30:05.250Z","uuid":"asks","verdict":"FORWARDED","IP":{"source":"10.1.0.4","destination":"10.1.0.9","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":40812,"destination_port":5432,"flags":{"SYN":true}}},"source":{"identity":4711,"namespace":"shop","pod_name":"web-0"},"destination":{"identity":4712,"namespace":"shop","pod_name":"db-0"},"Type":"L3_L4","node_name":"node-1","event_type":{"type":4},"is_reply":false,"Summary":"TCP Flags: SYN"},"node_name":"node-1","time":"2026-03-01T09:30:05.250Z"}"#;

/// The database answers.
pub(crate) const ANSWERS: &str = r#"{"flow":{"time":"2026-03-01T09:30:05.251Z","uuid":"answers","verdict":"FORWARDED","IP":{"source":"10.1.0.9","destination":"10.1.0.4","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":5432,"destination_port":40812,"flags":{"SYN":true,"ACK":true}}},"source":{"identity":4712,"namespace":"shop","pod_name":"db-0"},"destination":{"identity":4711,"namespace":"shop","pod_name":"web-0"},"Type":"L3_L4","node_name":"node-2","event_type":{"type":4,"sub_type":5},"is_reply":true,"Summary":"TCP Flags: SYN, ACK"},"node_name":"node-2","time":"2026-03-01T09:30:05.251Z"}"#;

/// A stranger is turned away.
pub(crate) const DROPPED: &str = r#"{"flow":{"time":"2026-03-01T09:31:00Z","uuid":"dropped","verdict":"DROPPED","drop_reason":133,"IP":{"source":"fd00::7","destination":"fd00::9","ipVersion":"IPv6"},"l4":{"UDP":{"source_port":5353,"destination_port":53}},"source":{"identity":2},"destination":{"identity":4712,"namespace":"shop","pod_name":"db-0"},"Type":"L3_L4","node_name":"node-1","event_type":{"type":1,"sub_type":133},"drop_reason_desc":"POLICY_DENIED","Summary":"UDP"},"node_name":"node-1","time":"2026-03-01T09:31:00Z"}"#;

/// Some flows were lost.
pub(crate) const LOST: &str = r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"12","cpu":3},"node_name":"node-1","time":"2026-03-01T09:32:00Z"}"#;

/// A node cannot be reached.
pub(crate) const UNREACHABLE: &str = r#"{"node_status":{"state_change":"NODE_UNAVAILABLE","node_names":["node-3","node-4"]},"node_name":"relay","time":"2026-03-01T09:33:00Z"}"#;

/// A node was reached.
pub(crate) const REACHED: &str = r#"{"node_status":{"state_change":"NODE_CONNECTED","node_names":["node-1"]},"node_name":"relay","time":"2026-03-01T09:34:00Z"}"#;

/// The uuids of flows in JSON output, in order.
pub(crate) fn uuids(stdout: &str) -> Vec<String> {
    stdout
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["flow"]["uuid"].as_str().unwrap_or("-").to_owned()
        })
        .collect()
}

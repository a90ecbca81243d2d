//! The script that counts for itself.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    agent::{Agent, PATIENCE},
    page::{assert_same, of_flows},
};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics/count.py")
}

/// The lines that a page of these flows should have, by a list or, after an `@`, a file.
pub(crate) fn expected(flows: &Path, wanted: &str) -> Vec<String> {
    let output = Command::new("python3")
        .arg("-B")
        .arg(script())
        .arg(flows)
        .arg(wanted)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{wanted}");
    of_flows(&String::from_utf8(output.stdout).unwrap())
}

/// Waits until the page is as it should be. Says where it is not, if it never is.
#[track_caller]
pub(crate) fn compare(agent: &Agent, what: &str, expected: &[String]) {
    assert!(!expected.is_empty(), "{what}: nothing to compare");
    let begun = Instant::now();
    loop {
        let page = of_flows(&agent.page());
        if page == expected {
            return;
        }
        if begun.elapsed() > PATIENCE {
            assert_same(what, &page, expected);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Has an agent count flows, and compares.
#[track_caller]
pub(crate) fn check_list(flows: &Path, list: &str) {
    let agent = Agent::of(flows, &["--metrics", list]);
    compare(&agent, list, &expected(flows, list));
}

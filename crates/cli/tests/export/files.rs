//! What is written: the same messages, in files that rotate.

use std::{fs, io::Read as _, path::Path, process::Command};

use flow_api::{json, observer::GetFlowsResponse};

use crate::{
    agent::{Agent, BINARY, flow_lines, wait_for},
    flows::{line_at, lines, numbers},
};

#[test]
fn what_comes_in_goes_out_and_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/flows.log");
    // Room for all, however busy the machine is.
    let flags = [
        "--export-file",
        path.to_str().unwrap(),
        "--ring-capacity=8191",
    ];
    let mut agent = Agent::start(&flags);
    let fed = lines(0..5000);
    agent.feed(&fed);
    wait_for("all is written", || flow_lines(&path).len() == 5000);
    agent.end();
    let messages = |text: &str| -> Vec<GetFlowsResponse> {
        text.lines()
            .map(|line| json::from_str(line).unwrap())
            .collect()
    };
    let written = flow_lines(&path).join("\n");
    assert!(messages(&written) == messages(&fed));
    // The same bytes as the reference form of the message, for line by line.
    for (line, message) in written.lines().zip(messages(&fed)) {
        assert_eq!(line, json::to_string(&message));
    }
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("{\"agent_event\":{\"type\":\"AGENT_STARTED\""),
        "{text:.300}"
    );
    assert!(text.contains("app=\\u003cweb\\u003e"));
    let output = Command::new(BINARY)
        .args(["observe", "-o", "json", "--input-file"])
        .arg(&path)
        .args(["--all", "--verdict", "DROPPED"])
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown.lines().count(), 5000_usize.div_ceil(3));
}

#[test]
fn standard_output_has_nothing_but_events() {
    let mut agent = Agent::start(&["--export-file", "stdout", "--export-denylist", "{}"]);
    agent.feed(&lines(0..3));
    wait_for("they are read", || agent.status().contains("3/4,095"));
    assert_eq!(agent.stdout(), "");
    agent.end();
    let mut agent = Agent::start(&["--hubble-export-file-path=stdout"]);
    agent.feed(&lines(0..3));
    wait_for("they are written", || {
        agent.stdout().matches("\"flow\"").count() == 3
    });
    for line in agent.stdout().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event.is_object(), "{line}");
    }
    assert!(agent.stdout().ends_with("}\n"));
}

/// The files of a folder, unpacked, by name.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let mut text = String::new();
            match path.extension().unwrap().to_str().unwrap() {
                "gz" => flate2::read::GzDecoder::new(&*bytes)
                    .read_to_string(&mut text)
                    .unwrap(),
                "zst" => zstd::Decoder::new(&*bytes)
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap(),
                _ => (&*bytes).read_to_string(&mut text).unwrap(),
            };
            (path.file_name().unwrap().to_str().unwrap().to_owned(), text)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn files_rotate_by_size_are_packed_and_counted() {
    for (packing, ending) in [("gzip", ".log.gz"), ("zstd", ".log.zst")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.log");
        let mut agent = Agent::start(&[
            "--export-file",
            path.to_str().unwrap(),
            "--export-file-max-size-mb=1",
            "--export-file-max-backups=2",
            &format!("--export-file-compress={packing}"),
            "--export-fsync=rotation",
            "--ring-capacity=8191",
        ]);
        // Some five megabytes.
        let count = 8000;
        agent.feed(&lines(0..count));
        let is_tidy = || {
            let names: Vec<_> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let packed = names.iter().filter(|name| name.ends_with(ending)).count();
            let last = flow_lines(&path)
                .last()
                .map(|line| crate::flows::number(line));
            names.len() == 3 && packed == 2 && last == Some(count - 1)
        };
        wait_for("two packed files and a current one are left", is_tidy);
        agent.end();
        let files = files(folder.path());
        let mut all = Vec::new();
        for (name, text) in &files {
            assert!(text.len() <= 1 << 20, "{name}: {}", text.len());
            assert!(text.ends_with('\n'), "{name}");
            all.extend(numbers(
                &text.lines().map(str::to_owned).collect::<Vec<_>>(),
            ));
        }
        // No flow is missing or doubled between the files, which are in order.
        let first = all[0];
        assert_eq!(all, (first..count).collect::<Vec<_>>());
    }
}

#[test]
fn files_rotate_by_age_although_nothing_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let file = path.to_str().unwrap();
    let count = || fs::read_dir(folder.path()).unwrap().count();
    let mut agent = Agent::start(&["--export-file", file, "--export-file-max-age=200ms"]);
    agent.feed(&lines(0..3));
    wait_for("a rotated file is beside it", || count() >= 2);
    wait_for("the current one is empty", || {
        fs::read(&path).is_ok_and(|text| text.is_empty())
    });
    agent.end();
    let files = files(folder.path());
    let rotated = files.iter().flat_map(|(_, text)| text.lines());
    let flows = rotated.filter(|line| line.starts_with("{\"flow\""));
    let flows: Vec<_> = flows.map(str::to_owned).collect();
    assert_eq!(numbers(&flows), [0, 1, 2]);
}

#[test]
fn an_agent_goes_on_in_the_file_that_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let line = line_at(0, 1);
    fs::write(&path, format!("{line}{}", &line[..100])).unwrap();
    let mut agent = Agent::start(&["--export-file", path.to_str().unwrap()]);
    agent.feed(&lines(1..3));
    wait_for("they are written", || flow_lines(&path).len() == 3);
    let log = agent.end();
    assert!(log.contains("ended within a line"), "{log}");
    assert_eq!(numbers(&flow_lines(&path)), [0, 1, 2]);
}

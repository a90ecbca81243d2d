//! Which flows pass, and which filters the flags make.

use crate::harness::*;

fn passing(flags: &[&str]) -> Vec<String> {
    let mut all = vec!["-o", "json"];
    all.extend(flags);
    uuids(&observe(&all, &[ASKS, ANSWERS, DROPPED]).ok())
}

#[test]
fn filters_choose_flows() {
    for (flags, expected) in [
        (&[][..], &["asks", "answers", "dropped"][..]),
        (&["--verdict", "DROPPED"], &["dropped"]),
        (&["--from-pod", "shop/web"], &["asks"]),
        (&["--pod", "shop/web"], &["asks", "answers"]),
        (&["-n", "shop", "--to-port", "53"], &["dropped"]),
        (&["--ip", "10.1.0.0/16"], &["asks", "answers"]),
        (&["--from-ip", "fd00::/8"], &["dropped"]),
        (&["--from-identity", "world"], &["dropped"]),
        (&["--protocol", "udp"], &["dropped"]),
        (&["-t", "trace:from-endpoint"], &["answers"]),
        (&["-t", "drop"], &["dropped"]),
        (&["--drop-reason-desc", "POLICY_DENIED"], &["dropped"]),
        (&["--node-name", "node-2"], &["answers"]),
        (&["--tcp-flags", "syn,ack"], &["answers"]),
        (&["-6"], &["dropped"]),
        (&["--not", "--protocol", "tcp"], &["dropped"]),
        (
            &["--not", "--verdict", "DROPPED", "--port", "5432"],
            &["asks", "answers"],
        ),
        (&["--allowlist", r#"{"uuid":["asks"]}"#], &["asks"]),
        (
            &[
                "--denylist",
                r#"{"uuid":["asks"]}"#,
                "--denylist",
                r#"{"uuid":["answers"]}"#,
            ],
            &["dropped"],
        ),
        (&["--last", "1"], &["dropped"]),
        (&["--first", "2"], &["asks", "answers"]),
        (&["--since", "2026-03-01T09:30:06Z"], &["dropped"]),
        (&["--until", "2026-03-01T09:30:05.250Z"], &["asks"]),
    ] {
        assert_eq!(passing(flags), expected, "{flags:?}");
    }
}

#[test]
fn raw_filters_are_printed_as_a_config_file_holds_them() {
    let stdout = run(&[
        "observe",
        "--print-raw-filters",
        "--not",
        "--port",
        "53",
        "-n",
        "shop",
        "--verdict",
        "DROPPED",
    ])
    .ok();
    assert_eq!(
        stdout,
        r#"allowlist:
    - '{"source_pod":["shop/"],"verdict":["DROPPED"]}'
    - '{"destination_pod":["shop/"],"verdict":["DROPPED"]}'
denylist:
    - '{"source_port":["53"]}'
    - '{"destination_port":["53"]}'
"#
    );
    assert_eq!(run(&["observe", "--print-raw-filters"]).ok(), "{}\n");
}

#[test]
fn printed_filters_work_as_a_config_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("filters.yaml");
    let filters = run(&[
        "observe",
        "--print-raw-filters",
        "--not",
        "--pod",
        "shop/web",
    ])
    .ok();
    std::fs::write(&file, filters).unwrap();
    assert_eq!(passing(&["--config", file.to_str().unwrap()]), ["dropped"]);
}

#[test]
fn the_environment_adds_filters_and_a_flag_replaces_them() {
    let run = |flags: &[&str]| {
        let mut args = vec!["observe", "--print-raw-filters"];
        args.extend(flags);
        let output = palomar(&args)
            .env("HUBBLE_DENYLIST", r#"{"uuid":["a"]}"#)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&[]), "denylist:\n    - '{\"uuid\":[\"a\"]}'\n");
    assert_eq!(
        run(&["--denylist", r#"{"uuid":["b"]}"#]),
        "denylist:\n    - '{\"uuid\":[\"b\"]}'\n"
    );
}

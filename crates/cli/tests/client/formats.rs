//! What each format looks like.

use crate::harness::*;

#[test]
fn compact_is_a_line_with_the_opener_on_the_left() {
    let stdout = observe(&[], &[ASKS, ANSWERS, DROPPED]).ok();
    assert_eq!(
        stdout,
        "Mar  1 09:30:05.250: shop/web-0:40812 (ID:4711) -> shop/db-0:5432 (ID:4712) \
         to-endpoint FORWARDED (TCP Flags: SYN)\n\
         Mar  1 09:30:05.251: shop/web-0:40812 (ID:4711) <- shop/db-0:5432 (ID:4712) \
         from-endpoint FORWARDED (TCP Flags: SYN, ACK)\n\
         Mar  1 09:31:00.000: [fd00::7]:5353 (world) <> shop/db-0:53 (ID:4712) \
         Policy denied DROPPED (UDP)\n"
    );
}

#[test]
fn numeric_and_no_translation_show_addresses() {
    for flag in ["--numeric", "--ip-translation=false"] {
        let stdout = observe(&[flag], &[ASKS]).ok();
        assert!(
            stdout.contains("10.1.0.4:40812 (ID:4711) -> 10.1.0.9:5432"),
            "{stdout}"
        );
    }
}

#[test]
fn dict_has_a_line_for_each_field_and_a_rule_between() {
    let stdout = observe(&["-o", "dict", "--print-node-name"], &[ASKS, LOST]).ok();
    assert_eq!(
        stdout,
        "  TIMESTAMP: Mar  1 09:30:05.250
       NODE: node-1
     SOURCE: shop/web-0:40812
DESTINATION: shop/db-0:5432
       TYPE: to-endpoint
    VERDICT: FORWARDED
    SUMMARY: TCP Flags: SYN
------------
  TIMESTAMP: Mar  1 09:32:00.000
       NODE: node-1
     SOURCE: HUBBLE_RING_BUFFER
       TYPE: EVENTS LOST
    VERDICT: -
    SUMMARY: CPU(3) - 12
"
    );
}

#[test]
fn table_columns_are_aligned() {
    let stdout = observe(&["-o", "table", "--time-format", "RFC3339"], &[ASKS, LOST]).ok();
    assert_eq!(
        stdout,
        "\
TIMESTAMP              SOURCE               DESTINATION      TYPE          VERDICT     SUMMARY
2026-03-01T09:30:05Z   shop/web-0:40812     shop/db-0:5432   to-endpoint   FORWARDED   TCP Flags: SYN
2026-03-01T09:32:00Z   HUBBLE_RING_BUFFER   -                EVENTS LOST   -           CPU(3) - 12
"
    );
}

#[test]
fn json_gives_back_what_was_read() {
    for format in ["json", "jsonpb", "JSON"] {
        let stdout = observe(&["-o", format], &[ASKS, LOST]).ok();
        let lines: Vec<&str> = stdout.lines().collect();
        // Fractions have three, six or nine digits.
        assert_eq!(lines, [ASKS, LOST], "{format}");
    }
}

#[test]
fn legacy_json_is_the_flow_alone() {
    let mut command = palomar(&["observe", "--input-file", "/dev/stdin", "-o", "json"]);
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), LOST).unwrap();
    command.env("HUBBLE_COMPAT", "legacy-json-output");
    command.stdin(std::fs::File::open(input.path()).unwrap());
    let stdout = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(
        stdout,
        "{\"source\":\"HUBBLE_RING_BUFFER\",\"num_events_lost\":\"12\",\"cpu\":3}\n"
    );
}

#[test]
fn trouble_with_nodes_goes_to_standard_error() {
    let ran = observe(&[], &[ASKS, UNREACHABLE, REACHED]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout.lines().count(), 1);
    assert_eq!(
        ran.stderr,
        "Mar  1 09:33:00.000 [relay]: 2 nodes are unavailable: node-3, node-4\n"
    );
    assert_eq!(observe(&["-s"], &[UNREACHABLE]).ok(), "");
}

#[test]
fn debug_tells_also_of_nodes_that_came() {
    let ran = observe(&["-D"], &[REACHED]);
    assert!(
        ran.stderr
            .contains("[relay]: Receiving flows from 1 nodes: node-1\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn colours_are_for_who_asks_for_them() {
    assert!(!observe(&[], &[ASKS]).ok().contains('\x1b'));
    let stdout = observe(&["--color", "always"], &[DROPPED]).ok();
    assert!(stdout.contains("\x1b[31mDROPPED\x1b[0m"), "{stdout:?}");
    assert!(
        stdout.contains("\x1b[36m[fd00::7]:\x1b[33m5353\x1b[0m\x1b[0m"),
        "{stdout:?}"
    );
}

#[test]
fn names_from_the_wire_cannot_command_a_terminal() {
    let evil = ASKS
        .replace("web-0", "\\u001b[2Jweb")
        .replace("TCP Flags: SYN", "a\\rb");
    for flags in [
        &["--color", "always"][..],
        &["-o", "dict"],
        &["-o", "table"],
    ] {
        let stdout = observe(flags, &[&evil]).ok();
        assert!(stdout.contains("^[[2Jweb"), "{stdout:?}");
        assert!(stdout.contains("a\\rb"), "{stdout:?}");
        assert!(!stdout.contains("\x1b[2J"), "{stdout:?}");
    }
}

#[test]
fn policies_are_named_on_request() {
    let verdict = DROPPED
        .replace("\"type\":1,\"sub_type\":133", "\"type\":5")
        .replace(
            "\"Type\":\"L3_L4\"",
            "\"Type\":\"L3_L4\",\"traffic_direction\":\"INGRESS\",\"policy_match_type\":3",
        )
        .replace(
            "\"Summary\":\"UDP\"",
            "\"Summary\":\"UDP\",\"ingress_denied_by\":[{\"name\":\"deny-all\",\"kind\":\"NetworkPolicy\"}]",
        );
    let stdout = observe(&["--print-policy-names"], &[&verdict]).ok();
    assert!(
        stdout.contains("policy-verdict:L4-Only INGRESS DENIED BY deny-all (NetworkPolicy) (UDP)"),
        "{stdout}"
    );
    let stdout = observe(&[], &[&verdict]).ok();
    assert!(stdout.contains("INGRESS DENIED (UDP)"), "{stdout}");
}

//! `observe --group-by`: flows counted instead of shown.

use crate::harness::*;

const ALL: &[&str] = &[ASKS, ANSWERS, DROPPED, ASKS, LOST];

/// The flow with a detail: an HTTP request of 3 packets and 300 bytes, and 2 of 200 bytes back.
fn with_traffic(line: &str) -> String {
    let detail = r#","extensions":{"@type":"type.googleapis.com/palomar.FlowDetail","forward":{"packets":"3","bytes":"300"},"backward":{"packets":"2","bytes":"200"},"process":{"pid":7,"name":"nginx"}}},"node_name""#;
    line.replacen(r#"},"node_name""#, detail, 1)
}

#[test]
fn groups_are_a_table_with_the_largest_first_and_losses_below() {
    let ran = observe(&["--group-by", "source,destination"], ALL);
    assert_eq!(
        ran.stdout,
        "\
SOURCE       DESTINATION   FLOWS   FIRST SEEN            LAST SEEN
shop/web-0   shop/db-0         2   Mar  1 09:30:05.250   Mar  1 09:30:05.250
fd00::7      shop/db-0         1   Mar  1 09:31:00.000   Mar  1 09:31:00.000
shop/db-0    shop/web-0        1   Mar  1 09:30:05.251   Mar  1 09:30:05.251
"
    );
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(0),
            "12 events lost, and in no group: 12 HUBBLE_RING_BUFFER\n"
        )
    );
}

#[test]
fn a_client_is_who_opened_the_connection_whoever_sent_the_packet() {
    let stdout = observe(
        &["--group-by", "client,server,port,protocol", "-o", "csv"],
        &ALL[..2],
    )
    .ok();
    assert_eq!(
        stdout,
        "client,server,port,protocol,flows,packets,bytes,first_seen,last_seen\n\
         shop/web-0,shop/db-0,5432,TCP,2,,,2026-03-01T09:30:05.25Z,2026-03-01T09:30:05.251Z\n"
    );
}

#[test]
fn json_has_an_object_for_each_group_and_the_sums_at_the_end() {
    let busy = with_traffic(ASKS);
    let ran = observe(
        &["--group-by", "verdict,drop_reason,node", "-o", "json"],
        &[&busy, &busy, DROPPED, LOST],
    );
    assert_eq!(
        ran.stdout,
        r#"{"group":{"verdict":"FORWARDED","drop-reason":"","node":"node-1"},"flows":2,"packets":10,"bytes":1000,"first_seen":"2026-03-01T09:30:05.25Z","last_seen":"2026-03-01T09:30:05.25Z"}
{"group":{"verdict":"DROPPED","drop-reason":"POLICY_DENIED","node":"node-1"},"flows":1,"first_seen":"2026-03-01T09:31:00Z","last_seen":"2026-03-01T09:31:00Z"}
{"total":{"groups":2,"flows":3,"packets":10,"bytes":1000,"first_seen":"2026-03-01T09:30:05.25Z","last_seen":"2026-03-01T09:31:00Z","lost_events":12}}
"#
    );
}

#[test]
fn packets_and_bytes_have_columns_where_anybody_told_them() {
    let stdout = observe(
        &["--group-by", "process", "--sort-by", "bytes"],
        &[&with_traffic(ASKS), DROPPED],
    )
    .ok();
    assert_eq!(
        stdout,
        "\
PROCESS   FLOWS   PACKETS   BYTES   FIRST SEEN            LAST SEEN
nginx         1         5     500   Mar  1 09:30:05.250   Mar  1 09:30:05.250
-             1         -       -   Mar  1 09:31:00.000   Mar  1 09:31:00.000
"
    );
}

#[test]
fn any_field_of_a_flow_can_be_told_by_its_path() {
    for (path, expected) in [
        ("l4.TCP.flags.SYN", "true,2\n,1"),
        ("l4.tcp.flags.ack", ",1\nfalse,1\ntrue,1"),
        ("IP.ipVersion", "IPv4,2\nIPv6,1"),
        ("isReply", ",1\nfalse,1\ntrue,1"),
        ("source.pod_name", ",1\ndb-0,1\nweb-0,1"),
        ("detail.process.pid", ",3"),
        ("event_type.type", "4,2\n1,1"),
        // As --where has them.
        ("tcp.flags.SYN", "true,2\n,1"),
        ("udp.destination_port", ",2\n53,1"),
    ] {
        let stdout = observe(&["--group-by", path, "-o", "csv"], &ALL[..3]).ok();
        let rows: Vec<String> = stdout
            .lines()
            .skip(1)
            .map(|row| row.split(',').take(2).collect::<Vec<_>>().join(","))
            .collect();
        assert_eq!(rows.join("\n"), expected, "{path}");
    }
    let stdout = observe(
        &["--group-by", "detail.process.pid", "-o", "csv"],
        &[&with_traffic(ASKS)],
    )
    .ok();
    assert!(stdout.contains("\n7,1,5,500,"), "{stdout}");
}

#[test]
fn groups_beyond_the_limit_are_counted_together_and_that_is_said() {
    let ran = observe(&["--group-by", "uuid", "--group-limit", "1"], &ALL[..3]);
    let rows: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split("   ").next())
        .collect();
    assert_eq!(rows, ["UUID", "asks", "(other)"]);
    assert_eq!(
        ran.stderr,
        "more than 1 group: 2 flows are counted together as (other); --group-limit raises that\n"
    );
}

#[test]
fn what_cannot_be_grouped_by_is_refused_with_what_may_be_meant() {
    for (flags, expected) in [
        (
            &["--group-by", "source.namspace"][..],
            "invalid argument for --group-by: no field \"source.namspace\", did you mean \
             source.namespace?",
        ),
        (
            &["--group-by", "verdict,l4.TCP.flags.SYM"],
            "no field \"l4.TCP.flags.SYM\", did you mean l4.TCP.flags.SYN?",
        ),
        (
            &["--group-by", "l4"],
            "no field \"l4\": it has fields of its own, such as l4.TCP",
        ),
        (
            &["--group-by", "whatever-this-is"],
            "expected one as source.pod, drop-reason or http.status, or the path of any field",
        ),
        (
            &["--group-by", "verdict", "--sort-by", "flow"],
            "invalid argument for --sort-by: no column \"flow\", did you mean flows?",
        ),
        (
            &["--sort-by", "flows"],
            "--sort-by is about groups: add --group-by",
        ),
        (
            &["--group-by", "verdict", "-o", "dict"],
            "invalid output format for --group-by: dict, expected table, json or csv",
        ),
        (
            &["--group-by", "verdict", "--field-mask", "time"],
            "cannot set both --group-by and --field-mask",
        ),
        (
            &["--group-by", "verdict", "-f", "--interval", "1ms"],
            "invalid argument for --interval: expected 100ms or more",
        ),
    ] {
        let stderr = observe(flags, &[ASKS]).failed();
        assert!(stderr.contains(expected), "{flags:?}: {stderr}");
    }
}

#[test]
fn hostile_values_break_neither_rows_nor_terminals() {
    let hostile = ASKS.replace("\"web-0\"", "\"a\\u0000b\\nc\\u001b[31m,\\\"\"");
    let stdout = observe(&["--group-by", "source"], &[&hostile]).ok();
    assert!(stdout.contains("shop/a\u{fffd}b c^[[31m,\""), "{stdout}");
    assert_eq!(stdout.lines().count(), 2);
    let stdout = observe(&["--group-by", "source", "-o", "csv"], &[&hostile]).ok();
    assert!(
        stdout.contains("\n\"shop/a\u{fffd}b\nc^[[31m,\"\"\",1,"),
        "{stdout}"
    );
}

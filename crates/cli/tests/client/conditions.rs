//! `--where` and `--explain`.

use crate::harness::*;
use crate::server::{End, serve, serve_as};

fn passing(flags: &[&str]) -> Vec<String> {
    let mut all = vec!["-o", "json"];
    all.extend(flags);
    uuids(&observe(&all, &[ASKS, ANSWERS, DROPPED]).ok())
}

#[test]
fn a_condition_chooses_flows_together_with_flags() {
    for (flags, expected) in [
        (&["--where", "verdict == dropped"][..], &["dropped"][..]),
        (
            &[
                "--where",
                "verdict == \"FORWARDED\" && source.namespace == \"shop\" && !is_reply",
            ],
            &["asks"],
        ),
        (
            &[
                "--where",
                "source.ip in \"fd00::/8\" || l4.tcp.destination_port in [80, 5432]",
            ],
            &["asks", "dropped"],
        ),
        (&["--where", "source.pod.glob('db-*')"], &["answers"]),
        (&["--where", "port > 1", "--where", "x"], &[]),
        (
            &["--verdict", "FORWARDED", "--where", "tcp.flags.ACK || udp"],
            &["answers"],
        ),
        (
            &["--not", "--from-pod", "shop/db", "--where", "tcp || udp"],
            &["asks", "dropped"],
        ),
        // Each of several allow filters is narrowed down.
        (
            &["--pod", "shop/web", "--where", "destination.port == 5432"],
            &["asks"],
        ),
        (
            &[
                "--allowlist",
                r#"{"verdict":["DROPPED"]}"#,
                "--allowlist",
                r#"{"uuid":["asks"]}"#,
                "--where",
                "udp",
            ],
            &["dropped"],
        ),
        (
            &[
                "--cel-expression",
                "true",
                "--cel-expression",
                "false",
                "--where",
                "udp",
            ],
            &["dropped"],
        ),
        (
            &["--where", "tcp", "--where", "is_reply == true"],
            &["answers"],
        ),
        (&["--where", "tcp", "--last", "1"], &["answers"]),
    ] {
        if expected.is_empty() {
            let ran = observe(flags, &[ASKS]);
            assert!(ran.failed().starts_with("invalid --where: "));
            continue;
        }
        assert_eq!(passing(flags), expected, "{flags:?}");
    }
}

#[test]
fn a_condition_that_makes_no_sense_is_shown_with_the_place() {
    let told = observe(&["--where", "verdict == \"DROPED\""], &[ASKS]).failed();
    assert_eq!(
        told,
        "invalid --where: 'verdict' is never 'DROPED', did you mean DROPPED?\n  \
         verdict == \"DROPED\"\n             ^\n"
    );
    let told = observe(&["--not", "--where", "tcp"], &[ASKS]).failed();
    assert!(told.contains("write !(...) in the condition"), "{told}");
}

#[test]
fn the_request_holds_the_condition_as_hubble_takes_it() {
    let stdout = run(&[
        "observe",
        "--verdict",
        "DROPPED",
        "--where",
        "destination.ip in '10.0.0.0/8'",
        "--print-raw-filters",
    ])
    .ok();
    assert_eq!(
        stdout,
        "allowlist:\n    - '{\"verdict\":[\"DROPPED\"],\"experimental\":{\"cel_expression\":\
         [\"_flow.IP.destination.matches(\\\"^10[.]\\\")\"]}}'\n"
    );
}

#[test]
fn a_server_that_evaluates_conditions_is_believed_and_asked_once() {
    let server = serve(End::Close);
    let (code, stdout, _) =
        server.ask(&["observe", "--where", "source.labels.exists(l, l == 'a')"]);
    // It sends what does not match, and that is its own affair.
    assert_eq!((code, stdout.lines().count()), (Some(0), 2));
    let asked = server.asked();
    assert_eq!((asked.len(), asked[0].number), (1, 20));
    let fields = asked[0].whitelist[0].experimental.as_ref().unwrap();
    assert_eq!(
        fields.cel_expression,
        ["_flow.source.labels.exists(l, l == \"a\")"]
    );
    let paths = &asked[0].field_mask.as_ref().unwrap().paths;
    assert_eq!(paths.last().unwrap(), "source.labels");
    assert_eq!(paths.len(), 21);
}

#[test]
fn behind_a_relay_each_flow_is_checked() {
    let server = serve_as(End::Close, &[("hubble-relay-version", "1.19.4")]);
    let (code, stdout, stderr) = server.ask(&["observe", "--where", "is_reply"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 1), "{stdout}");
    assert!(stdout.contains("from-endpoint"), "{stdout}");
    assert_eq!(
        stderr.matches("a node behind the relay").count(),
        1,
        "{stderr}"
    );
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn of_a_server_that_knows_no_conditions_everything_is_asked_and_chosen_from_here() {
    for head in [&[][..], &[("hubble-server-version", "1.15.3")]] {
        let server = serve_as(End::Close, head);
        let (code, stdout, stderr) = server.ask(&["observe", "--where", "tcp", "--last", "1"]);
        assert_eq!((code, stdout.lines().count()), (Some(0), 1), "{stdout}");
        assert!(stdout.contains("from-endpoint"), "the last one: {stdout}");
        assert!(
            stderr.contains("the server does not evaluate --where"),
            "{stderr}"
        );
        let (_, stdout, _) = server.ask(&["observe", "--where", "tcp", "--first", "1"]);
        assert!(
            stdout.contains("to-endpoint") && stdout.lines().count() == 1,
            "{stdout}"
        );
        let asked = server.asked();
        let numbers: Vec<u64> = asked.iter().map(|request| request.number).collect();
        assert_eq!(numbers, [1, u64::MAX, 1, u64::MAX]);
    }
}

#[test]
fn what_cannot_be_checked_anywhere_is_refused() {
    let server = serve_as(End::Close, &[]);
    let line = [
        "observe",
        "-o",
        "json",
        "--field-mask",
        "time",
        "--where",
        "verdict == dropped",
    ];
    let (code, stdout, stderr) = server.ask(&line);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("add verdict to --field-mask"), "{stderr}");
}

#[test]
fn what_is_asked_for_is_explained_without_asking() {
    let stdout = run(&[
        "observe",
        "--pod",
        "shop/web",
        "--verdict",
        "DROPPED",
        "--not",
        "--port",
        "53",
        "--where",
        "tcp || source.ip in '10.0.0.0/8'",
        "--explain",
    ])
    .ok();
    assert_eq!(
        stdout,
        "\
A flow is wanted if
  all of
    any of
      all of
        verdict is DROPPED
        source pod is web* in namespace shop
      all of
        verdict is DROPPED
        destination pod is web* in namespace shop
    any of
      there is l4.TCP
      IP.source is in 10.0.0.0/8
    not: source.port is 53
    not: destination.port is 53

Shown: those that there are, the latest 20 (of each node, if a relay is asked).
Decided by the server, so that only wanted flows travel.
The condition of --where goes along as an expression. Hubble before 1.16 does not evaluate it: then it \
is decided here.
Expression: has(_flow.l4.TCP) || _flow.IP.source.matches(\"^10[.]\")
It reads: IP.source, l4.TCP.
Fields asked for: time, verdict, ethernet, IP, l4, source.identity, source.namespace, source.pod_name, \
destination.identity, destination.namespace, destination.pod_name, Type, node_name, l7, event_type, \
source_service, destination_service, is_reply, Summary, ip_trace_id.
"
    );
}

#[test]
fn contradictions_are_explained_also_between_flags() {
    for (flags, expected) in [
        (
            &["--verdict", "FORWARDED", "--where", "verdict == dropped"][..],
            "Warning: nothing can match: 'verdict is DROPPED' and 'verdict is FORWARDED' exclude each \
             other, a flow has one verdict.\n",
        ),
        (
            &["--protocol", "icmp", "--port", "80"],
            "exclude each other, a flow has one protocol above IP.\n",
        ),
        (
            &["--verdict", "DROPPED", "--not", "--verdict", "DROPPED"],
            "Warning: nothing can match: what is wanted is hidden again by not verdict is DROPPED.\n",
        ),
    ] {
        let mut line = vec!["observe", "--explain"];
        line.extend(flags);
        let stdout = run(&line).ok();
        assert!(stdout.contains(expected), "{stdout}");
    }
    let nothing = run(&["observe", "--explain", "--all"]).ok();
    assert!(nothing.starts_with("Every flow is wanted.\n"), "{nothing}");
    let file = run(&[
        "observe",
        "--explain",
        "--input-file",
        "/nowhere",
        "--where",
        "tcp",
    ])
    .ok();
    assert!(
        file.contains("Decided here, for each flow that is read.\n"),
        "{file}"
    );
}

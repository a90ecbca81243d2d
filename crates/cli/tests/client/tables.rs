//! `-o csv`.

use crate::harness::*;
use crate::server::{End, serve};

const HEADING: &str = "time,node,verdict,drop_reason,direction,type,is_reply,protocol,source_ip,\
source_port,source_identity,source_namespace,source_pod,source_workload,source_service,source_names,\
destination_ip,destination_port,destination_identity,destination_namespace,destination_pod,\
destination_workload,destination_service,destination_names,summary";

#[test]
fn csv_has_a_heading_and_a_row_for_each_flow() {
    let stdout = observe(&["-o", "csv"], &[ASKS, ANSWERS, DROPPED]).ok();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], HEADING);
    assert_eq!(
        lines[2],
        "2026-03-01T09:30:05.251Z,node-2,FORWARDED,,,from-endpoint,true,TCP,10.1.0.9,5432,4712,shop,\
         db-0,,,,10.1.0.4,40812,4711,shop,web-0,,,,\"TCP Flags: SYN, ACK\""
    );
    assert!(
        lines[3].starts_with(
            "2026-03-01T09:31:00Z,node-1,DROPPED,POLICY_DENIED,,Policy denied,,UDP,fd00::7,5353,2,"
        ),
        "{}",
        lines[3]
    );
    assert_eq!(lines.len(), 4);
}

#[test]
fn cells_are_quoted_and_none_is_a_formula() {
    let evil = ASKS
        .replace("\"web-0\"", r#""=HYPERLINK(\"http://x\",\"y\")""#)
        .replace("TCP Flags: SYN", "two\\nlines, \\u001b[1mand \\\"more\\\"");
    let stdout = observe(
        &["-o", "csv", "--columns", "source_pod,summary,source.pod"],
        &[&evil],
    )
    .ok();
    assert_eq!(
        stdout,
        "source_pod,summary,source.pod\n\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",\"two\nlines, \
         ^[[1mand \"\"more\"\"\",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"\n"
    );
    for first in ["+", "-", "@"] {
        let evil = ASKS.replace("\"web-0\"", &format!("\"{first}1\""));
        let stdout = observe(&["-o", "csv", "--columns", "source_pod"], &[&evil]).ok();
        assert_eq!(stdout, format!("source_pod\n'{first}1\n"));
    }
}

#[test]
fn columns_are_chosen_by_name_and_any_field_can_be_one() {
    let names =
        "verdict,source.pod,tcp.flags.SYN,destination.port,drop_reason_desc,time,source.labels";
    let stdout = observe(&["-o", "csv", "--columns", names], &[ASKS, DROPPED]).ok();
    assert_eq!(
        stdout,
        format!(
            "{names}\nFORWARDED,web-0,true,5432,DROP_REASON_UNKNOWN,2026-03-01T09:30:05.25Z,\n\
             DROPPED,,,53,POLICY_DENIED,2026-03-01T09:31:00Z,\n"
        )
    );
    for (flags, expected) in [
        (
            &["-o", "csv", "--columns", "verdit"][..],
            "did you mean 'verdict'?",
        ),
        (
            &["-o", "csv", "--columns", "source"],
            "'source' is more than one value",
        ),
        (&["--columns", "verdict"], "add -o csv"),
        (
            &["-o", "csv", "--field-mask", "time"],
            "not compatible with custom field mask",
        ),
    ] {
        let told = observe(flags, &[ASKS]).failed();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn gaps_and_nodes_are_told_beside_the_table() {
    let ran = observe(&["-o", "csv", "--columns", "verdict"], &[LOST, UNREACHABLE]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "verdict\n"));
    assert!(
        ran.stderr
            .contains("EVENTS LOST: HUBBLE_RING_BUFFER CPU(3) 12"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("node-3, node-4"), "{}", ran.stderr);
}

#[test]
fn only_the_fields_of_the_columns_are_asked_for() {
    let server = serve(End::Close);
    server.ask(&[
        "observe",
        "-o",
        "csv",
        "--columns",
        "time,source.port,drop_reason",
    ]);
    server.ask(&["observe", "-o", "csv"]);
    let asked = server.asked();
    let paths = |index: usize| asked[index].field_mask.clone().unwrap().paths;
    assert_eq!(
        paths(0),
        [
            "time",
            "l4.TCP.source_port",
            "l4.UDP.source_port",
            "l4.SCTP.source_port",
            "verdict",
            "drop_reason_desc"
        ]
    );
    assert!(paths(1).contains(&"destination.workloads".to_owned()));
}

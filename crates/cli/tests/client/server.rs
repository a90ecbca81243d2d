//! Asking a server: a small one inside the test, on a Unix socket.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use flow_api::{coverage, json, observer::*, relay::NodeState};
use futures::{StreamExt as _, stream};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use prost::Message as _;
use testbed::observer::{Messages, Script, Server, messages};
use tonic::{Request, Response, Status};

use crate::harness::{ANSWERS, ASKS, palomar};

/// What the server does once it has sent its flows.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Close,
    Fail(Status),
    /// These lines again and again.
    Repeat(Vec<String>),
    StayOpen,
}

/// Two flows, then an end.
struct TwoFlows {
    end: End,
    /// What stands in the head of its answers.
    head: &'static [(&'static str, &'static str)],
}

fn encoded(line: &str) -> Bytes {
    let response: GetFlowsResponse = json::from_str(line).unwrap();
    response.encode_to_vec().into()
}

#[tonic::async_trait]
impl Script for TwoFlows {
    async fn flows(&self, _: Request<GetFlowsRequest>) -> Result<Response<Messages>, Status> {
        let flows = messages([ASKS, ANSWERS].map(encoded));
        let mut response = Response::new(match &self.end {
            End::Close => flows,
            End::Fail(status) => flows.chain(stream::iter([Err(status.clone())])).boxed(),
            End::Repeat(lines) => {
                let lines: Vec<Bytes> = lines.iter().map(|line| encoded(line)).collect();
                let paced = stream::iter(lines).cycle().then(|line| async {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Ok(line)
                });
                flows.chain(paced).boxed()
            }
            End::StayOpen => flows.chain(stream::pending()).boxed(),
        });
        for (name, value) in self.head {
            let value = value.parse().unwrap();
            response.metadata_mut().insert(*name, value);
        }
        Ok(response)
    }

    async fn agent_events(&self, _: GetAgentEventsRequest) -> Result<Messages, Status> {
        Err(Status::unknown("only flows here"))
    }

    async fn nodes(&self) -> Result<GetNodesResponse, Status> {
        let node = |name: &str| Node {
            name: name.to_owned(),
            version: "palomar v0.1.0".to_owned(),
            state: NodeState::NodeConnected.into(),
            uptime_ns: 90_000_000_000,
            num_flows: 10,
            max_flows: 4095,
            seen_flows: 45,
            ..Node::default()
        };
        let nodes = vec![node("node-2"), node("node-1")];
        Ok(GetNodesResponse { nodes })
    }

    async fn namespaces(&self) -> Result<GetNamespacesResponse, Status> {
        // Longer than the test waits.
        tokio::time::sleep(Duration::from_secs(60)).await;
        Err(Status::internal("too late"))
    }

    async fn status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        Ok(Response::new(ServerStatusResponse {
            num_flows: 1_000,
            max_flows: 4_095,
            seen_flows: 12_345,
            uptime_ns: 90_000_000_000,
            num_connected_nodes: Some(2),
            num_unavailable_nodes: Some(1),
            unavailable_nodes: vec!["node-3".to_owned()],
            version: "palomar v0.1.0".to_owned(),
            flows_rate: 2.5,
        }))
    }
}

/// A running server. Ends with the test.
pub(crate) struct Running {
    server: Server,
    pub(crate) address: String,
}

pub(crate) fn serve(end: End) -> Running {
    serve_as(end, &[("hubble-server-version", "1.99.0")])
}

/// A server that says so in the head of its answers.
pub(crate) fn serve_as(end: End, head: &'static [(&'static str, &'static str)]) -> Running {
    let server = Server::at_socket(TwoFlows { end, head }).unwrap();
    let address = server.address().to_owned();
    Running { server, address }
}

impl Running {
    /// The requests for flows so far.
    pub(crate) fn asked(&self) -> Vec<GetFlowsRequest> {
        self.server.asked()
    }

    pub(crate) fn ask(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = palomar(args)
            .env("PALOMAR_SERVER", &self.address)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }
}

#[test]
fn observe_asks_for_what_it_shows() {
    let server = serve(End::Close);
    let (code, stdout, _) = server.ask(&["observe", "--to-port", "5432", "--not", "-n", "x"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2));
    let asked = server.asked();
    assert_eq!(asked[0].number, 20);
    assert!(!asked[0].follow);
    assert_eq!(asked[0].whitelist[0].destination_port, ["5432"]);
    assert_eq!(asked[0].blacklist.len(), 2);
    let mask = asked[0].field_mask.as_ref().unwrap();
    assert_eq!(mask.paths.len(), 20);
}

#[test]
fn json_asks_for_everything_and_follow_for_no_number() {
    let server = serve(End::Close);
    server.ask(&["observe", "-f", "-o", "json"]);
    server.ask(&[
        "observe",
        "--all",
        "-o",
        "json",
        "--field-mask",
        "time,verdict",
    ]);
    let asked = server.asked();
    assert_eq!((asked[0].number, asked[0].follow), (0, true));
    assert_eq!(asked[0].field_mask, None);
    assert_eq!(asked[1].number, u64::MAX);
    let mask = asked[1].field_mask.as_ref().unwrap();
    assert_eq!(mask.paths, ["time", "verdict"]);
}

#[test]
fn a_newer_server_earns_a_warning() {
    let (code, _, stderr) = serve(End::Close).ask(&["observe"]);
    assert_eq!(code, Some(0));
    assert!(stderr.contains("level=WARN"), "{stderr}");
    assert!(stderr.contains("server=1.99.0"), "{stderr}");
}

#[test]
fn what_came_before_an_error_is_printed() {
    let server = serve(End::Fail(Status::not_found("gone")));
    for format in ["compact", "dict", "json", "table"] {
        let (code, stdout, stderr) = server.ask(&["observe", "-o", format]);
        assert_eq!(code, Some(1), "{format}");
        assert!(stdout.contains("web-0"), "{format}: {stdout}");
        assert!(
            stderr.ends_with("rpc error: code = NotFound desc = gone\n"),
            "{stderr}"
        );
    }
}

#[test]
fn of_an_error_without_code_the_text_counts() {
    let (code, _, stderr) = serve(End::Close).ask(&["observe", "agent-events"]);
    assert_eq!((code, stderr.as_str()), (Some(1), "only flows here\n"));
}

#[test]
fn a_stream_that_was_cancelled_ended_well() {
    let (code, stdout, _) = serve(End::Fail(Status::cancelled("bye"))).ask(&["observe"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2));
}

#[test]
fn following_shows_flows_at_once_and_ends_with_a_signal() {
    let server = serve(End::StayOpen);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = palomar(&["observe", "-f"])
            .env("PALOMAR_SERVER", &server.address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..2 {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            assert!(line.contains("shop/web-0"), "{line}");
        }
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn what_an_answer_covers_is_told_on_standard_error_when_it_is_wanted() {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let node = flow_api::palomar::Coverage {
        from: time(1_080),
        to: time(1_200),
        requested_since: time(0),
        ..Default::default()
    };
    let end = coverage::end(&coverage::report([node], 0));
    let server = serve(End::Fail(end));
    let (code, stdout, stderr) = server.ask(&["observe", "--coverage", "--since", "20m"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2));
    let last = stderr.lines().last();
    assert_eq!(last, Some("2 of 20 requested minutes; 0 lost"), "{stderr}");
    let (_, _, stderr) = server.ask(&["observe", "--since", "20m"]);
    assert!(!stderr.contains("requested"), "no terminal: {stderr}");
}

#[test]
fn a_follow_that_ends_here_and_a_server_that_tells_nothing_have_a_last_word_when_it_is_wanted() {
    let (_, _, stderr) = serve(End::Close).ask(&["observe", "--coverage"]);
    let last = stderr.lines().last();
    assert_eq!(
        last,
        Some("2 flows; the server does not tell which time they cover")
    );
    let (_, _, stderr) = serve(End::Close).ask(&["observe", "--coverage", "-f"]);
    let last = stderr.lines().last().unwrap();
    assert!(
        last.starts_with("2 flows in ") && last.ends_with(" seconds; 0 lost"),
        "{last}"
    );
}

#[test]
fn status_in_each_format() {
    let server = serve(End::Close);
    let (code, stdout, _) = server.ask(&["status"]);
    assert_eq!(code, Some(0));
    let expected = format!(
        "Healthcheck (via {}): Ok
Current/Max Flows: 1,000/4,095 (24.42%)
Flows/s: 2.50
Connected Nodes: 2/3
Unavailable Nodes: 1
  - node-3
",
        server.address
    );
    assert_eq!(stdout, expected);
    let (_, stdout, _) = server.ask(&["status", "-o", "dict"]);
    assert!(stdout.contains("             UPTIME: 1m30s\n"), "{stdout}");
    let (_, stdout, _) = server.ask(&["status", "-o", "table"]);
    assert!(
        stdout.starts_with("NUM FLOWS   MAX FLOWS   SEEN FLOWS"),
        "{stdout}"
    );
    let (_, stdout, _) = server.ask(&["status", "-o", "json"]);
    assert!(
        stdout.starts_with(r#"{"num_flows":"1000","max_flows":"4095""#),
        "{stdout}"
    );
    let (code, _, stderr) = server.ask(&["status", "-o", "xml"]);
    assert_eq!(
        (code, stderr.as_str()),
        (Some(1), "invalid output format: xml\n")
    );
}

#[test]
fn nodes_are_listed_by_name() {
    let server = serve(End::Close);
    let (_, stdout, _) = server.ask(&["list", "nodes"]);
    assert_eq!(
        stdout,
        "\
NAME     STATUS      AGE     FLOWS/S   CURRENT/MAX-FLOWS
node-1   Connected   1m30s   0.50      10/4095 (  0.24%)
node-2   Connected   1m30s   0.50      10/4095 (  0.24%)
"
    );
    let (_, stdout, _) = server.ask(&["list", "node", "-o", "json"]);
    let nodes: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(nodes[1]["name"], "node-2");
}

#[test]
fn a_call_with_one_answer_has_a_limit() {
    let server = serve(End::Close);
    let (code, _, stderr) = server.ask(&["list", "namespaces", "--request-timeout", "100ms"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        stderr,
        "rpc error: code = DeadlineExceeded desc = context deadline exceeded\n"
    );
}

#[test]
fn doctor_counts_flows_and_looks_at_the_nodes_that_a_server_names() {
    let server = serve(End::Close);
    let (code, stdout, stderr) = server.ask(&["doctor"]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    let lines: Vec<&str> = stdout.lines().collect();
    let well = format!(
        "{}  ok  palomar v0.1.0, 2 of 3 nodes connected, clock within 1 s, 2 flows in the last second",
        server.address
    );
    assert_eq!(lines[0], well);
    for (line, node) in lines[1..].iter().zip(["node-1 ", "node-2 "]) {
        assert!(line.starts_with(node), "{stdout}");
        assert!(
            line.contains("  name failed: invalid server \"\": no host"),
            "{stdout}"
        );
    }
    let asked = server.asked();
    let follows: Vec<bool> = asked.iter().map(|request| request.follow).collect();
    assert_eq!((lines.len(), follows), (3, vec![false, true]));
}

#[test]
fn groups_ask_for_their_fields_only_and_are_told_again_and_again_in_a_follow() {
    let server = serve(End::StayOpen);
    let mut child = palomar(&["observe", "-f", "--group-by", "verdict", "-o", "json"])
        .args(["--interval", "100ms"])
        .env("PALOMAR_SERVER", &server.address)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let totals = stdout
        .lines()
        .map(Result::unwrap)
        .filter(|line| line.starts_with(r#"{"total":{"groups":1,"flows":2,"#));
    assert_eq!(totals.take(3).count(), 3);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let finite = serve(End::Close);
    finite.ask(&["observe", "--group-by", "client.pod"]);
    let asked = [server, finite].map(|server| server.asked()[0].clone());
    let paths = |index: usize| asked[index].field_mask.clone().unwrap().paths.join(" ");
    assert_eq!((asked[0].number, asked[1].number), (0, u64::MAX));
    assert_eq!(paths(0), "extensions time verdict");
    assert_eq!(
        paths(1),
        "destination.namespace destination.pod_name extensions is_reply source.namespace \
         source.pod_name time"
    );
    assert!(flow_api::extension::asks_for_flow_detail(
        asked[0].extensions.as_ref()
    ));
}

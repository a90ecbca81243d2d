//! The client: a process of its own that does what it is told line by line, counts, and forgets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use flow_api::{
    connect::{self, ConnectOptions},
    flow::{EventTypeFilter, FlowFilter, IpVersion, Verdict},
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
    service::observer_client::ObserverClient,
};
use prost::Message as _;
use prost_types::FieldMask;

/// Makes this program the client.
pub(super) const ARGUMENT: &str = "--drain";

/// Requests that match nothing, and what they are called.
pub(super) const SCANS: [(&str, &str); 17] = [
    ("verdict", "scan: verdict"),
    ("type", "scan: event type"),
    ("ip-version", "scan: IP version"),
    ("protocol", "scan: protocol"),
    ("port", "scan: port"),
    ("identity", "scan: identity"),
    ("prefix", "scan: IP prefix"),
    ("pod", "scan: pod prefix"),
    ("label", "scan: label"),
    ("fqdn", "scan: FQDN pattern"),
    ("identities", "scan: 10,000 identities"),
    ("prefixes", "scan: 10,000 IP prefixes"),
    ("pods", "scan: 10,000 pod prefixes"),
    ("labels", "scan: 10,000 labels"),
    ("fqdns", "scan: 10,000 FQDN patterns"),
    ("uuids", "scan: 10,000 uuids"),
    ("filters", "scan: 10,000 filters of an address"),
];

/// How many entries the long requests have.
const MANY: u32 = 10_000;

/// Every so many responses, one is decoded.
const SAMPLE: u64 = 1_000;

/// What the client got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) flows: u64,
    pub(super) bytes: u64,
}

/// The client, as its parent sees it. It ends when its input does.
pub(super) struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Client {
    pub(super) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().context("no output")?),
            child,
        })
    }

    pub(super) fn begin(&mut self, request: &str, socket: &Path) -> Result<()> {
        let input = self.input.as_mut().context("no input")?;
        writeln!(input, "{request} {}", socket.display())?;
        Ok(())
    }

    pub(super) fn answer(&mut self) -> Result<Answer> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (flows, bytes) = line.trim().split_once(' ').context("the client is gone")?;
        Ok(Answer {
            flows: flows.parse()?,
            bytes: bytes.parse()?,
        })
    }

    pub(super) fn ask(&mut self, request: &str, socket: &Path) -> Result<Answer> {
        self.begin(request, socket)?;
        self.answer()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.child.wait() {
            eprintln!("the client does not end: {error}");
        }
    }
}

/// The client itself.
pub(super) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (request, socket) = line.split_once(' ').context("no socket")?;
        let answer = match request {
            "floor" => drain_bytes(socket)?,
            _ => runtime.block_on(drain_flows(request, socket))?,
        };
        println!("{} {}", answer.flows, answer.bytes);
    }
    Ok(())
}

fn drain_bytes(socket: &str) -> Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    let (mut buffer, mut bytes) = (vec![0; 256 * 1024], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(Answer { flows: 0, bytes }),
            read => bytes += read as u64,
        }
    }
}

async fn drain_flows(request: &str, socket: &str) -> Result<Answer> {
    let target = format!("unix://{socket}").parse()?;
    let channel = connect::connect(&target, &ConnectOptions::default()).await?;
    let mut flows = ObserverClient::new(channel)
        .get_flows(named(request)?)
        .await?
        .into_inner();
    let mut answer = Answer { flows: 0, bytes: 0 };
    while let Some(response) = flows.message().await? {
        if answer.flows.is_multiple_of(SAMPLE) {
            let response = GetFlowsResponse::decode(response.clone())?;
            let is_flow = matches!(&response.response_types, Some(ResponseTypes::Flow(flow))
                if flow.source.as_ref().is_some_and(|it| !it.pod_name.is_empty()));
            ensure!(is_flow, "no flow: {response:?}");
        }
        answer.flows += 1;
        answer.bytes += response.len() as u64;
    }
    Ok(answer)
}

fn named(request: &str) -> Result<GetFlowsRequest> {
    let mut filter = FlowFilter::default();
    match request {
        "whole" => return Ok(GetFlowsRequest::default()),
        "masked" => {
            let paths = [
                "time",
                "verdict",
                "IP",
                "l4",
                "source.namespace",
                "source.pod_name",
                "destination.namespace",
                "destination.pod_name",
            ];
            return Ok(GetFlowsRequest {
                field_mask: Some(FieldMask {
                    paths: paths.map(str::to_owned).to_vec(),
                }),
                ..GetFlowsRequest::default()
            });
        }
        "verdict" => filter.verdict.push(Verdict::Audit.into()),
        "type" => filter.event_type.push(EventTypeFilter {
            r#type: 130,
            ..EventTypeFilter::default()
        }),
        "ip-version" => filter.ip_version.push(IpVersion::IPv6.into()),
        "protocol" => filter.protocol.push("sctp".to_owned()),
        "prefix" => filter.source_ip.push("192.0.2.0/24".to_owned()),
        "identities" => filter.source_identity.extend(100_000..100_000 + MANY),
        "prefixes" => filter.source_ip.extend(prefixes()),
        "pods" => filter.source_pod.extend(numbered("nowhere/web-")),
        "labels" => filter.source_label.extend(numbered("app=nothing-")),
        "fqdns" => filter.destination_fqdn.extend(numbered("*.nowhere-")),
        "uuids" => filter
            .uuid
            .extend(numbered("00000000-0000-0000-0000-0000000")),
        "filters" => {
            let of_one = |prefix: String| FlowFilter {
                source_ip: vec![prefix.trim_end_matches("/32").to_owned()],
                ..FlowFilter::default()
            };
            return Ok(GetFlowsRequest {
                whitelist: prefixes().map(of_one).collect(),
                ..GetFlowsRequest::default()
            });
        }
        "port" => filter.destination_port.push("9".to_owned()),
        "identity" => filter.source_identity.push(7),
        "pod" => filter.source_pod.push("nowhere/web".to_owned()),
        "label" => filter.source_label.push("app=nothing".to_owned()),
        "fqdn" => filter.destination_fqdn.push("*.nowhere.test".to_owned()),
        other => bail!("an unknown request: {other}"),
    }
    Ok(GetFlowsRequest {
        whitelist: vec![filter],
        ..GetFlowsRequest::default()
    })
}

fn numbered(text: &str) -> impl Iterator<Item = String> {
    (0..MANY).map(move |number| format!("{text}{number}"))
}

fn prefixes() -> impl Iterator<Item = String> {
    (0..MANY).map(|number| format!("192.168.{}.{}/32", number / 256, number % 256))
}

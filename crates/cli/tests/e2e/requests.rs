//! Requests and responses: each message is told once by each node that has one of its ends, with
//! what was asked, how long it took, and no secrets.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::Command,
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use flow_api::{
    flow::Flow,
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use testbed::{Cluster, Node, Place, Spec, bind, wait};

use crate::{
    Rule,
    observed::{ALL, all_seen, last_words_last},
    palomar::{self, observe, server, stdout},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "each_message_is_told_once_where_its_client_and_its_server_are",
        told_once,
    ),
    (
        "translated_messages_are_told_under_the_endpoints_own_addresses",
        translated,
    ),
    ("filters_find_requests_and_responses", filters),
];

const HTTP_PORT: u16 = 8080;
const DNS_PORT: u16 = 53;
/// A port that nothing else uses, and the one behind it.
const MARKER_PORT: u16 = 9998;
/// How long a server thinks about its answer.
pub(crate) const THINKING: Duration = Duration::from_millis(20);
/// Far more than a message takes between namespaces, thinking included.
const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const MAX_LATENCY: Duration = Duration::from_secs(5);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Runs `test` on a cluster whose agents aggregate as they do by themselves.
fn with_cluster(test: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
    let mut cluster = Cluster::start(&Spec::two_nodes().outside("outside"))?;
    cluster.start_agents_with(Path::new(palomar::BINARY), &["--ring-capacity", ALL])?;
    test(&cluster)
        .with_context(|| cluster.last_words())
        .map_err(last_words_last)
}

/// A message as it was told: its line without the latency, who told it for whom.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Told {
    line: String,
    direction: String,
    source: String,
    destination: String,
}

fn told(line: &str, direction: &str, source: &str, destination: &str) -> Told {
    Told {
        line: line.to_owned(),
        direction: direction.to_owned(),
        source: source.to_owned(),
        destination: destination.to_owned(),
    }
}

/// The messages that a node tells, in order, once it has told all packets so far and `count` of
/// them.
fn messages(cluster: &Cluster, node: &str, count: usize) -> Result<Vec<Flow>> {
    let socket = cluster.agent_socket(node);
    wait::until("flows of requests", TIMEOUT, || {
        let flows = flows(observe(&socket, &["--last", ALL, "--type", "l7"])?);
        Ok((flows.len() >= count).then_some(()))
    })?;
    all_seen(cluster, MARKER_PORT)?;
    Ok(flows(observe(&socket, &["--last", ALL, "--type", "l7"])?))
}

pub(crate) fn flows(responses: Vec<GetFlowsResponse>) -> Vec<Flow> {
    let flows = responses
        .into_iter()
        .filter_map(|response| match response.response_types {
            Some(ResponseTypes::Flow(flow)) => Some(flow),
            _ => None,
        });
    flows.collect()
}

#[expect(deprecated, reason = "the field is still served")]
fn as_told(flow: &Flow) -> Told {
    let end = |endpoint: &Option<flow_api::flow::Endpoint>, address: &str| {
        let pod = endpoint.as_ref().map_or("", |it| &*it.pod_name);
        if pod.is_empty() { address } else { pod }.to_owned()
    };
    let ip = flow.ip.clone().unwrap_or_default();
    let latency = flow.l7.as_ref().map_or(0, |it| it.latency_ns) / 1_000_000;
    Told {
        line: flow.summary.replace(&format!(" {latency}ms "), " Nms "),
        direction: flow.traffic_direction().as_str_name().to_owned(),
        source: end(&flow.source, &ip.source),
        destination: end(&flow.destination, &ip.destination),
    }
}

fn all_told(flows: &[Flow]) -> Vec<Told> {
    let mut told: Vec<_> = flows.iter().map(as_told).collect();
    told.sort();
    told
}

fn must_be(flows: &[Flow], mut expected: Vec<Told>) -> Result<()> {
    expected.sort();
    let found = all_told(flows);
    ensure!(
        found == expected,
        "told:\n{found:#?}\nexpected:\n{expected:#?}"
    );
    Ok(())
}

/// Serves one connection to `port` in `place` while `ask` runs.
pub(crate) fn with_http_server<T>(
    place: &(impl Place + Sync),
    address: SocketAddr,
    ask: impl FnOnce() -> Result<T>,
) -> Result<T> {
    thread::scope(|scope| {
        let (bound, wait) = sync_channel(1);
        let serving = scope.spawn(move || {
            place.run(|| {
                let listener = bind::tcp(address)?;
                bound.send(()).ok();
                let (stream, _) = listener.accept()?;
                serve(stream)
            })
        });
        wait.recv().context("the server did not start")?;
        let asked = ask();
        let served = serving.join().map_err(|_| anyhow!("the server panicked"))?;
        let asked = asked?;
        served?;
        Ok(asked)
    })
}

/// Answers all requests of a connection; those that come together are answered together.
fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    let (mut received, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        received.push_str(str::from_utf8(&buffer[..len])?);
        let mut answers = String::new();
        while let Some((head, rest)) = received.split_once("\r\n\r\n") {
            answers += &answer(head);
            received = rest.to_owned();
        }
        thread::sleep(THINKING);
        stream.write_all(answers.as_bytes())?;
    }
}

fn answer(head: &str) -> String {
    let status = if head.contains("/missing") {
        "404 Not Found"
    } else {
        "200 OK"
    };
    let cookie = "Set-Cookie: session=s3cret\r\n";
    format!("HTTP/1.1 {status}\r\n{cookie}Content-Length: 6\r\n\r\nhello\n")
}

/// On one connection writes each text and reads that many answers.
fn ask(place: &(impl Place + Sync), server: SocketAddr, texts: &[(&str, usize)]) -> Result<()> {
    place.run(|| {
        let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        for &(text, answers) in texts {
            stream.write_all(text.as_bytes())?;
            let mut received = String::new();
            while received.matches("hello\n").count() < answers {
                let mut buffer = [0; 4096];
                let len = stream.read(&mut buffer).context("no answer")?;
                ensure!(len > 0, "the server closed after {received:?}");
                received.push_str(str::from_utf8(&buffer[..len])?);
            }
        }
        Ok(())
    })
}

/// Asks `server` for an IPv4 address and gets one, both in one datagram.
fn resolve(client: &(impl Place + Sync), server: &(impl Place + Sync), at: Ipv4Addr) -> Result<()> {
    const QUESTION: &[u8] = b"\x03api\x04shop\x08internal\x00\x00\x01\x00\x01";
    const RECORD: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\x0a\x01\x02\x03";
    let query = [&b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0"[..], QUESTION].concat();
    let reply = [
        &b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0"[..],
        QUESTION,
        RECORD,
    ]
    .concat();
    thread::scope(|scope| {
        let (bound, wait) = sync_channel(1);
        let serving = scope.spawn(move || {
            server.run(|| {
                let socket = bind::udp((at, DNS_PORT))?;
                socket.set_read_timeout(Some(TIMEOUT))?;
                bound.send(()).ok();
                let (_, from) = socket.recv_from(&mut [0; 512])?;
                socket.send_to(&reply, from)?;
                Ok(())
            })
        });
        wait.recv().context("the resolver did not start")?;
        let asked = client.run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_read_timeout(Some(TIMEOUT))?;
            socket.send_to(&query, (at, DNS_PORT))?;
            socket.recv_from(&mut [0; 512]).context("no answer")?;
            Ok(())
        });
        let served = serving
            .join()
            .map_err(|_| anyhow!("the resolver panicked"))?;
        asked?;
        served
    })
}

/// From web on node-1 to api on node-2: one connection with requests one after the other and then
/// two at once. To cart on the same node: one request. To db on node-2: one question.
fn make_traffic(cluster: &Cluster) -> Result<()> {
    let pod = |name| cluster.pod(name);
    let (web, cart) = (pod("shop/web-0")?, pod("shop/cart-0")?);
    let (api, db) = (pod("shop/api-0")?, pod("shop/db-0")?);
    let first = format!(
        "GET /cart?token=s3cret&page=2 HTTP/1.1\r\nHost: api.shop\r\n\
         Authorization: Bearer s3cret\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n"
    );
    let missing = "GET /missing HTTP/1.1\r\nHost: api.shop\r\n\r\n";
    let together = "GET /one HTTP/1.1\r\nHost: api.shop\r\n\r\n\
                    POST /two HTTP/1.1\r\nHost: api.shop\r\nContent-Length: 0\r\n\r\n";
    let address = SocketAddr::from((api.ipv4(), HTTP_PORT));
    with_http_server(api, address, || {
        ask(web, address, &[(&first, 1), (missing, 1), (together, 2)])
    })?;
    let address = SocketAddr::from((cart.ipv4(), HTTP_PORT));
    with_http_server(cart, address, || {
        ask(web, address, &[("GET /near HTTP/1.0\r\n\r\n", 1)])
    })?;
    resolve(web, db, db.ipv4())
}

fn told_once() -> Result<()> {
    with_cluster(|cluster| {
        make_traffic(cluster)?;
        let first = "http://api.shop/cart?token=HUBBLE_REDACTED&page=HUBBLE_REDACTED";
        let between = |direction| {
            let ask = |line: &str| told(line, direction, "web-0", "api-0");
            let answer = |line: &str| told(line, direction, "api-0", "web-0");
            vec![
                ask(&format!("HTTP/1.1 GET {first}")),
                answer(&format!("HTTP/1.1 200 Nms (GET {first})")),
                ask("HTTP/1.1 GET http://api.shop/missing"),
                answer("HTTP/1.1 404 Nms (GET http://api.shop/missing)"),
                ask("HTTP/1.1 GET http://api.shop/one"),
                ask("HTTP/1.1 POST http://api.shop/two"),
                answer("HTTP/1.1 200 Nms (GET http://api.shop/one)"),
                answer("HTTP/1.1 200 Nms (POST http://api.shop/two)"),
                told("DNS Query api.shop.internal. A", direction, "web-0", "db-0"),
                told(
                    "DNS Answer \"10.1.2.3\" TTL: 30 (Query api.shop.internal. A)",
                    direction,
                    "db-0",
                    "web-0",
                ),
            ]
        };
        let near = [
            told("HTTP/1.0 GET /near", "EGRESS", "web-0", "cart-0"),
            told("HTTP/1.1 200 Nms (GET /near)", "EGRESS", "cart-0", "web-0"),
        ];
        let at_client = messages(cluster, "node-1", 12)?;
        must_be(&at_client, [between("EGRESS"), near.to_vec()].concat())?;
        let at_server = messages(cluster, "node-2", 10)?;
        must_be(&at_server, between("INGRESS"))?;

        for flow in at_client.iter().chain(&at_server) {
            check(flow)?;
        }
        let text = format!("{at_client:?}{at_server:?}");
        ensure!(!text.contains("s3cret"), "a secret was told: {text}");
        ensure!(text.contains(TRACE), "no trace: {text}");
        Ok(())
    })
}

/// What holds for every message.
fn check(flow: &Flow) -> Result<()> {
    use flow_api::flow::{L7FlowType, layer7::Record};
    let layer7 = flow.l7.as_ref().context("no layer 7")?;
    let is_response = layer7.r#type() == L7FlowType::Response;
    ensure!(flow.is_reply == Some(is_response), "{flow:?}");
    let latency = Duration::from_nanos(layer7.latency_ns);
    let is_plausible = match (is_response, &layer7.record) {
        (false, _) => latency.is_zero(),
        (true, Some(Record::Http(_))) => (THINKING..MAX_LATENCY).contains(&latency),
        (true, _) => !latency.is_zero() && latency < MAX_LATENCY,
    };
    ensure!(is_plausible, "latency {latency:?} of {flow:?}");
    Ok(())
}

/// Loads rules of nftables into a node.
fn nft(node: &Node, script: &str) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("nft");
    command
        .arg(script)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"));
    let status = node.spawn(command)?.wait()?;
    ensure!(status.success(), "nft {script:?} ended with {status}");
    Ok(())
}

fn translated() -> Result<()> {
    with_cluster(|cluster| {
        const NODE_PORT: u16 = 30_080;
        let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
        let outside = cluster.outside("outside")?;
        let ipv4 = |ips: [std::net::IpAddr; 2]| ips.into_iter().find(|it| it.is_ipv4());
        let outside_ip = ipv4(outside.ips()).context("no IPv4 address outside")?;
        let (first, second) = (cluster.node("node-1")?, cluster.node("node-2")?);
        let node_ip = ipv4(second.ips()).context("no IPv4 address of node-2")?;
        nft(
            first,
            &format!(
                "add table ip palomar_test; \
                 add chain ip palomar_test out \
                 {{ type nat hook postrouting priority srcnat; policy accept; }}; \
                 add rule ip palomar_test out ip saddr {} ip daddr {outside_ip} \
                 masquerade random",
                web.ipv4()
            ),
        )?;
        nft(
            second,
            &format!(
                "add table ip palomar_test; \
                 add chain ip palomar_test in \
                 {{ type nat hook prerouting priority dstnat; policy accept; }}; \
                 add rule ip palomar_test in ip daddr {node_ip} tcp dport {NODE_PORT} \
                 dnat to {}:{HTTP_PORT}",
                api.ipv4()
            ),
        )?;
        let request = "GET /far HTTP/1.1\r\nHost: far\r\n\r\n";
        let there = SocketAddr::from((outside_ip, HTTP_PORT));
        with_http_server(outside, there, || ask(web, there, &[(request, 1)]))?;
        let there = SocketAddr::from((api.ipv4(), HTTP_PORT));
        with_http_server(api, there, || {
            ask(
                outside,
                SocketAddr::from((node_ip, NODE_PORT)),
                &[(request, 1)],
            )
        })?;
        let expected = |direction, client: &str, server: &str| {
            vec![
                told("HTTP/1.1 GET http://far/far", direction, client, server),
                told(
                    "HTTP/1.1 200 Nms (GET http://far/far)",
                    direction,
                    server,
                    client,
                ),
            ]
        };
        let outside = outside_ip.to_string();
        must_be(
            &messages(cluster, "node-1", 2)?,
            expected("EGRESS", "web-0", &outside),
        )?;
        must_be(
            &messages(cluster, "node-2", 2)?,
            expected("INGRESS", &outside, "api-0"),
        )
    })
}

fn filters() -> Result<()> {
    with_cluster(|cluster| {
        make_traffic(cluster)?;
        messages(cluster, "node-2", 10)?;
        let socket = cluster.agent_socket("node-2");
        for (filter, count) in [
            (&["--protocol", "http"][..], 8),
            (&["--protocol", "dns"], 2),
            (&["--http-status", "404"], 1),
            (&["--http-status", "2+"], 3),
            (&["--http-method", "post"], 2),
            (&["--http-path", "^/one$"], 2),
            (&["--type", "l7", "--from-pod", "shop/web-0"], 5),
            (&["--type", "l7", "--traffic-direction", "egress"], 0),
        ] {
            let found = observe(&socket, &[filter, &["--last", ALL]].concat())?.len();
            ensure!(
                found == count,
                "{filter:?}: {found} flows, expected {count}"
            );
        }
        let server = server(&socket);
        let compact = |filter: &[&str]| {
            let observe = [
                "observe", "--server", &server, "-o", "compact", "--last", ALL,
            ];
            stdout(&[&observe, filter].concat())
        };
        let line = compact(&["--http-status", "404"])?;
        for part in [
            "shop/web-0:",
            " <- shop/api-0:8080 (ID:",
            " http-response FORWARDED (HTTP/1.1 404 ",
            "ms (GET http://api.shop/missing))",
        ] {
            ensure!(line.contains(part), "{part:?} is not in {line:?}");
        }
        let lines = compact(&["--protocol", "dns"])?;
        for part in [
            " -> shop/db-0:53 (ID:",
            " dns-request passive FORWARDED (DNS Query api.shop.internal. A)",
            " dns-response passive FORWARDED (DNS Answer \"10.1.2.3\" TTL: 30 (Query api.shop.internal. A))",
        ] {
            ensure!(lines.contains(part), "{part:?} is not in {lines:?}");
        }
        Ok(())
    })
}

//! What clients may claim: connections, calls, requests, memory.

use std::{sync::atomic::Ordering, time::Duration};

use flow_api::{
    connect::{ConnectOptions, connect},
    flow::FlowFilter,
    observer::{
        GetFlowsRequest, GetFlowsResponse, ServerStatusRequest, observer_client::ObserverClient,
    },
    server::{Limits, Refusal},
};
use futures::stream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};
use tonic::{Code, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    clients::{Follower, answered, ask},
    notifier::MESSAGE_BYTES,
    running::{Running, Setup, until},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn options() -> ConnectOptions {
    ConnectOptions::default()
}

async fn channel(running: &Running) -> Channel {
    connect(&running.unix(), &options()).await.unwrap()
}

fn limited(limits: Limits) -> Setup {
    Setup {
        limits,
        ..Setup::default()
    }
}

/// Sends bytes, and waits until the server closes the connection.
async fn is_cut_after(running: &Running, bytes: &[u8]) {
    let mut client = TcpStream::connect(running.address).await.unwrap();
    // It may be closed before everything was written.
    drop(client.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(client.read_to_end(&mut answer).await);
}

#[tokio::test]
async fn garbage_ends_its_own_connection_and_no_other() {
    let running = Running::start(Setup::default()).await;
    let mut follower = Follower::open(&running.unix(), &options()).await;
    assert!(follower.hears(&running).await);
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        &[0xff; 100],
        b"PRI * HTTP/3",
    ] {
        is_cut_after(&running, bytes).await;
    }
    until("counted", || running.refused(Refusal::NotHttp2) == 3).await;

    // A frame of 16 MiB; and a well-formed beginning with nothing sensible behind it.
    let mut oversized = [PREFACE, SETTINGS].concat();
    oversized.extend([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]);
    is_cut_after(&running, &oversized).await;
    let mut garbled = [PREFACE, SETTINGS].concat();
    garbled.extend((0..=255).cycle().take(4096));
    is_cut_after(&running, &garbled).await;
    until("counted", || running.refused(Refusal::Broken) == 2).await;
    assert!(follower.hears(&running).await);
    until("only the follower is left", || {
        running.counts.connections() == 1
    })
    .await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut() {
    let running = Running::start(limited(Limits {
        handshake_timeout: Duration::from_millis(100),
        ..Limits::default()
    }))
    .await;
    let mut half_open = UnixStream::connect(running.socket()).await.unwrap();
    half_open.write_all(&PREFACE[..10]).await.unwrap();
    let mut nothing = Vec::new();
    drop(half_open.read_to_end(&mut nothing).await);
    until("counted", || {
        running.refused(Refusal::HandshakeTimeout) == 1
    })
    .await;
}

#[tokio::test]
async fn many_that_say_nothing_do_not_keep_others_out() {
    let running = Running::start(limited(Limits {
        handshakes: 4,
        handshake_timeout: Duration::from_secs(3600),
        ..Limits::default()
    }))
    .await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    until("the oldest are cut", || {
        running.refused(Refusal::HandshakeCut) == 28
    })
    .await;
    ask(&running.tcp(), &options()).await.unwrap();
    until("bounded", || running.counts.connections() <= 4).await;
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away() {
    let running = Running::start(limited(Limits {
        connections: 3,
        connections_per_peer: 2,
        ..Limits::default()
    }))
    .await;
    let first = connect(&running.tcp(), &options()).await.unwrap();
    let _second = connect(&running.tcp(), &options()).await.unwrap();
    assert!(ask(&running.tcp(), &options()).await.is_err());
    until("counted", || {
        running.refused(Refusal::ConnectionsOfPeer) > 0
    })
    .await;
    // A user of the socket is another peer.
    let local = connect(&running.unix(), &options()).await.unwrap();
    answered(local).await.unwrap();
    answered(first.clone()).await.unwrap();
    drop(first);
    until("room again", || running.counts.connections() < 2).await;
    ask(&running.tcp(), &options()).await.unwrap();
}

#[tokio::test]
async fn one_call_too_many_is_refused_and_says_why() {
    let running = Running::start(limited(Limits {
        calls: 2,
        ..Limits::default()
    }))
    .await;
    let mut first = Follower::open(&running.unix(), &options()).await;
    let second = Follower::open(&running.unix(), &options()).await;
    let refused = answered(channel(&running).await).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("2 calls are open"), "{refused}");
    assert_eq!(running.refused(Refusal::Calls), 1);
    // Health is not offered here, and is asked for all the same.
    let health = unary(channel(&running).await, "/grpc.health.v1.Health/Check").await;
    assert_eq!(health.unwrap_err().code(), Code::Unimplemented);

    assert!(first.hears(&running).await);
    drop(second);
    until("room again", || running.counts.calls() == 1).await;
    answered(channel(&running).await).await.unwrap();
}

async fn unary(channel: Channel, path: &'static str) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    let codec = ProstCodec::<ServerStatusRequest, ServerStatusRequest>::default();
    let request = tonic::Request::new(ServerStatusRequest {});
    client.unary(request, path, codec).await.map(drop)
}

/// A request with so many addresses.
fn addresses(count: u32) -> GetFlowsRequest {
    let address = |number: u32| std::net::Ipv4Addr::from_bits(number).to_string();
    GetFlowsRequest {
        whitelist: vec![FlowFilter {
            source_ip: (0..count).map(address).collect(),
            ..FlowFilter::default()
        }],
        ..GetFlowsRequest::default()
    }
}

#[tokio::test]
async fn long_requests_are_taken_and_absurd_ones_are_refused() {
    let running = Running::start(Setup::default()).await;
    let mut client = ObserverClient::new(channel(&running).await);
    client.get_flows(addresses(10_000)).await.unwrap();
    let refused = client.get_flows(addresses(1_000_000)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("at most 4194304 are taken"),
        "{refused}"
    );
    assert_eq!(running.refused(Refusal::RequestSize), 1);
    // The connection goes on.
    client.get_flows(addresses(1)).await.unwrap();
}

#[tokio::test]
async fn requests_of_open_calls_have_a_bound_together() {
    let running = Running::start(limited(Limits {
        request_bytes_in_all: 1000,
        ..Limits::default()
    }))
    .await;
    let mut client = ObserverClient::new(channel(&running).await);
    let refused = client.get_flows(addresses(200)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(running.refused(Refusal::RequestsInAll), 1);
    for _ in 0..20 {
        client.get_flows(addresses(50)).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_never_comes_is_given_up() {
    let running = Running::start(limited(Limits {
        request_timeout: Duration::from_millis(100),
        ..Limits::default()
    }))
    .await;
    let mut client = Grpc::new(channel(&running).await);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/observer.Observer/GetFlows");
    let codec = ProstCodec::<GetFlowsRequest, GetFlowsResponse>::default();
    let request = tonic::Request::new(stream::pending());
    let refused = client.client_streaming(request, path, codec).await;
    assert_eq!(refused.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(running.refused(Refusal::RequestTimeout), 1);
    until("the call ends", || running.counts.calls() == 0).await;
}

#[tokio::test]
async fn a_client_that_never_reads_costs_a_bounded_amount_and_nobody_else() {
    let limits = Limits::default();
    let running = Running::start(Setup {
        is_endless: true,
        ..limited(limits)
    })
    .await;
    let mut client = Vec::new();
    for _ in 0..8 {
        client.push(Follower::open(&running.unix(), &options()).await);
    }
    let made = || running.made.load(Ordering::Relaxed);
    until("streams begin", || made() > 0).await;
    // As long as anything is still made, it is not at rest.
    let mut before = 0;
    while made() != before {
        before = made();
        ask(&running.unix(), &options()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What the client's window takes, what lies encoded, and what the codec has in hand.
    let bound_bytes = 8 * (256 * 1024 + limits.send_buffer_bytes + 256 * 1024);
    assert!(
        made() * (MESSAGE_BYTES as u64) < bound_bytes as u64,
        "{}",
        made()
    );
    drop(client);
    until("calls end", || running.counts.calls() == 0).await;
}

#[tokio::test]
async fn a_dead_client_is_noticed() {
    let running = Running::start(Setup {
        limits: Limits {
            keepalive: Duration::from_millis(50),
            keepalive_timeout: Duration::from_millis(50),
            ..Limits::default()
        },
        is_endless: true,
        ..Setup::default()
    })
    .await;
    let mut dead = TcpStream::connect(running.address).await.unwrap();
    dead.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    until("it is cut", || running.refused(Refusal::Silent) == 1).await;
    until("room again", || running.counts.connections() == 0).await;
}

#[tokio::test]
async fn an_idle_client_that_answers_pings_is_kept() {
    const PING: u8 = 6;
    const ACK: u8 = 1;
    let running = Running::start(limited(Limits {
        keepalive: Duration::from_millis(20),
        ..Limits::default()
    }))
    .await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let begin = [PREFACE, SETTINGS].concat();
    client.write_all(&begin).await.unwrap();
    let mut answered = 0;
    while answered < 5 {
        let mut header = [0; 9];
        client.read_exact(&mut header).await.unwrap();
        let [a, b, c, kind, flags, ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        client.read_exact(&mut payload).await.unwrap();
        if (kind, flags & ACK) == (PING, 0) {
            header[4] = ACK;
            let pong = [&header[..], &payload].concat();
            client.write_all(&pong).await.unwrap();
            answered += 1;
        }
    }
    assert_eq!(running.counts.connections(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_broken_one() {
    let running = Running::start(Setup {
        is_endless: true,
        ..Setup::default()
    })
    .await;
    for target in [running.unix(), running.tcp()] {
        let mut leaves = Follower::open(&target, &options()).await;
        assert!(leaves.hears(&running).await);
        drop(leaves);
        // One that is killed has read nothing of what was sent.
        let mut killed = TcpStream::connect(running.address).await.unwrap();
        let begin = [PREFACE, SETTINGS].concat();
        killed.write_all(&begin).await.unwrap();
        killed.readable().await.unwrap();
        drop(killed);
    }
    until("all are gone", || running.counts.connections() == 0).await;
    assert_eq!(running.refused(Refusal::Broken), 0);
}

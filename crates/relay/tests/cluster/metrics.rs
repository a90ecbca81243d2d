//! What those see who watch the relay itself: metrics, readiness, health in plain text.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use flow_api::connect::{ConnectOptions, Target, connect};
use flow_api::observer::{GetFlowsRequest, ServerStatusResponse};
use relay::{Config, Relay};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Authority, Client, FakePeer, LONG, absent_peer, config, time, tls_server};

/// Status and body of a page.
async fn page(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

/// Waits until a page has this line.
async fn until(address: SocketAddr, line: &str) {
    let start = std::time::Instant::now();
    loop {
        let (code, body) = page(address, "/metrics").await;
        assert_eq!(code, 200);
        if body.lines().any(|it| it == line) {
            return;
        }
        assert!(start.elapsed() < LONG, "{line} is not in\n{body}");
    }
}

/// How far the clock of the node is behind.
const BEHIND: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn metrics_have_the_names_of_hubbles_relay_and_ours() {
    let peer = FakePeer::with_flows("a", [1, 2, 3]);
    peer.set_status(ServerStatusResponse {
        version: "palomar v7".to_owned(),
        ..ServerStatusResponse::default()
    });
    peer.set_clock_behind(BEHIND);
    peer.raw(time(4), Bytes::from_static(b"\xff\xff\xff"));
    peer.raw(time(5), vec![0; 5 << 20].into());
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("relay.sock");
    let relay = Relay::bind(Config {
        listen: vec![format!("unix://{}", socket.display()).parse().unwrap()],
        peers: vec![peer.listed(), absent_peer("x")],
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..config()
    })
    .await
    .unwrap();
    let address = relay.metrics_address().unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay.serve(shutdown.clone()));
    let mut client = Client::connect(&Target::Unix(socket)).await;
    client.connected_nodes(1).await;
    client.unavailable_nodes(1).await;
    // Who is there and who is not, three flows, and what is wrong with two messages.
    assert_eq!(client.all(GetFlowsRequest::default()).await.len(), 7);
    let malformed = r#"palomar_peer_malformed_responses_total{peer="a"} 2"#;
    until(address, malformed).await;
    drop(
        client
            .grpc
            .get_flows(GetFlowsRequest {
                follow: true,
                ..Default::default()
            })
            .await,
    );

    for line in [
        r#"hubble_relay_pool_peer_connection_status{status="READY"} 1"#,
        r#"hubble_relay_pool_peer_connection_status{status="TRANSIENT_FAILURE"} 1"#,
        r#"hubble_relay_pool_peer_connection_status{status="NIL_CONNECTION"} 0"#,
        r#"palomar_peer_connected{peer="a"} 1"#,
        r#"palomar_peer_connected{peer="x"} 0"#,
        r#"palomar_peers_by_version{version="palomar v7"} 1"#,
        "palomar_relay_ready 1",
        r#"grpc_server_started_total{grpc_type="server_stream",grpc_service="observer.Observer",grpc_method="GetFlows"} 2"#,
        r#"grpc_server_handled_total{grpc_type="server_stream",grpc_service="observer.Observer",grpc_method="GetFlows",grpc_code="OK"} 1"#,
        r#"grpc_server_handled_total{grpc_type="server_stream",grpc_service="observer.Observer",grpc_method="GetFlows",grpc_code="Canceled"} 1"#,
    ] {
        until(address, line).await;
    }
    let (_, body) = page(address, "/metrics").await;
    let clock = r#"palomar_peer_clock_ahead_seconds{peer="a"} "#;
    let ahead = body.lines().find_map(|line| line.strip_prefix(clock));
    let ahead: f64 = ahead.unwrap().parse().unwrap();
    assert!((ahead + BEHIND.as_secs_f64()).abs() < 10.0, "{ahead}");
    let (code, body) = page(address, "/readyz").await;
    assert_eq!((code, body.as_str()), (200, "1 of 2 nodes connected\n"));
    assert_eq!(page(address, "/healthz").await.0, 200);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn health_alone_is_served_without_tls_and_readiness_apart_from_liveness() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    authority.write("relay", dir.path());
    let relay = Relay::bind(Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        tls: Some(tls_server(dir.path())),
        peers: vec![absent_peer("x")],
        health_listen: Some("127.0.0.1:0".parse().unwrap()),
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..config()
    })
    .await
    .unwrap();
    let health = relay.health_address().unwrap();
    let metrics = relay.metrics_address().unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay.serve(shutdown.clone()));
    let target = Target::Tcp {
        host: health.ip().to_string(),
        port: health.port(),
    };
    let channel = connect(&target, &ConnectOptions::default()).await.unwrap();
    let mut client = HealthClient::new(channel);
    for (service, expected) in [
        ("liveness", ServingStatus::Serving),
        ("readiness", ServingStatus::NotServing),
    ] {
        let service = service.to_owned();
        let answer = client.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status(), expected);
    }
    let (code, body) = page(metrics, "/readyz").await;
    assert_eq!((code, body.as_str()), (503, "0 of 1 nodes connected\n"));
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

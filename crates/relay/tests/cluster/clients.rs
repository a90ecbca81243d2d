//! Clients that do not read or go away, and a relay that ends while they are there.

use std::time::{Duration, Instant};

use crate::follow::{follow, until};
use crate::support::{Cluster, FakePeer, flow_times};
use tonic::Code;

#[tokio::test]
async fn a_client_that_does_not_read_slows_nobody_else() {
    let peers = [FakePeer::new("a"), FakePeer::new("b")];
    let cluster = Cluster::over(&[&peers[0], &peers[1]]).await;
    let mut stalled = Vec::new();
    // Each with a connection of its own, as real clients have.
    for _ in 0..8 {
        stalled.push(follow(&cluster.client().await, &[&peers[0], &peers[1]]).await);
    }
    let mut reading = follow(&cluster.client().await, &[&peers[0], &peers[1]]).await;
    until(|| peers.iter().all(|peer| peer.open_streams() == 9)).await;
    // 12 MiB: far beyond what windows and read-ahead take.
    let count = 10_000;
    for millis in 0..count {
        peers.iter().for_each(|peer| peer.flow(millis));
    }
    let mut times = Vec::new();
    while times.len() < 2 * usize::try_from(count).unwrap() {
        times.push(reading.next_flow().await);
    }
    assert!(times.is_sorted());
    cluster.client().await.connected_nodes(2).await;
    // And who comes back later still gets everything.
    let mut late = stalled.pop().unwrap();
    assert_eq!(flow_times(&late.take(2 * times.len() / 2).await), times);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_peer_streams() {
    let a = FakePeer::new("a");
    let cluster = Cluster::over(&[&a]).await;
    let flows = follow(&cluster.client().await, &[&a]).await;
    drop(flows);
    until(|| a.open_streams() == 0).await;
}

#[tokio::test]
async fn shutdown_ends_follows_with_a_status_and_removes_the_socket() {
    let a = FakePeer::new("a");
    let mut cluster = Cluster::over(&[&a]).await;
    let mut flows = follow(&cluster.client().await, &[&a]).await;
    cluster.shutdown.cancel();
    let status = flows.try_next().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the relay is shutting down");
    drop(flows);
    let start = Instant::now();
    (&mut cluster.running).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(!cluster.dir.path().join("relay.sock").exists());
    until(|| a.open_streams() == 0).await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_client_that_does_not_read() {
    let a = FakePeer::new("a");
    let mut cluster = Cluster::over(&[&a]).await;
    let stalled = follow(&cluster.client().await, &[&a]).await;
    (0..20_000).for_each(|millis| a.flow(millis));
    // More than the client's window has room for.
    until(|| a.flows_sent() > 10_000).await;
    cluster.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(8), &mut cluster.running).await;
    ended.unwrap().unwrap().unwrap();
    assert!(!cluster.dir.path().join("relay.sock").exists());
    drop(stalled);
}

//! How a server ends.

use std::time::Duration;

use flow_api::{connect::ConnectOptions, server::Limits};
use tonic::Code;

use crate::{
    clients::{Follower, ask},
    running::{Running, Setup},
};

#[tokio::test]
async fn streams_end_with_a_status_and_the_socket_goes() {
    let running = Running::start(Setup::default()).await;
    let options = ConnectOptions::default();
    let mut local = Follower::open(&running.unix(), &options).await;
    let remote = Follower::open(&running.tcp(), &options).await;
    assert!(local.hears(&running).await);
    running.closing.cancel();
    for follower in [local, remote] {
        let status = follower.end().await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "closing")
        );
    }
    let socket = running.socket();
    running.server.await.unwrap().unwrap();
    assert!(!socket.exists());
    assert!(
        ask(&flow_api::connect::Target::Unix(socket), &options)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn who_does_not_let_go_is_cut() {
    let running = Running::start(Setup {
        limits: Limits {
            drain: Duration::from_millis(100),
            ..Limits::default()
        },
        is_stubborn: true,
        ..Setup::default()
    })
    .await;
    let mut follower = Follower::open(&running.unix(), &ConnectOptions::default()).await;
    assert!(follower.hears(&running).await);
    running.closing.cancel();
    running.server.await.unwrap().unwrap();
    assert!(follower.end().await.is_err());
    assert_eq!(running.counts.connections(), 0);
}

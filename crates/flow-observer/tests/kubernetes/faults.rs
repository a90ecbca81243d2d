//! An API server that says no, forgets, breaks off and garbles.

use std::time::Duration;

use flow_observer::enrich::ProviderState;

use crate::support::{Cluster, until};

#[tokio::test(flavor = "multi_thread")]
async fn one_resource_that_is_forbidden_leaves_the_others_and_status_says_so() {
    let cluster = Cluster::connected().await;
    cluster.server.forbid("services", true);
    cluster.await_state(ProviderState::Partial).await;
    cluster.put_pod("web", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web").await;
    let services = cluster.part("services");
    assert_eq!(services.state, ProviderState::Lost);
    assert!(
        services.reason.contains("services is forbidden"),
        "{}",
        services.reason
    );
    assert!(cluster.errors("services, forbidden") > 0);
    assert_eq!(cluster.part("pods").state, ProviderState::Connected);
    cluster.server.forbid("services", false);
    cluster.await_state(ProviderState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_is_asked_for_everything_anew() {
    let cluster = Cluster::connected().await;
    cluster.put_pod("web", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web").await;
    // Deleted where no watch will ever tell.
    cluster.server.set_delay(Duration::from_millis(300));
    cluster.server.break_watches();
    until("the watches are gone", || cluster.server.watches() == 0).await;
    cluster.server.delete("pods", "shop", "web");
    cluster.put_pod("next", "10.0.1.18");
    cluster.server.compact();
    cluster.server.set_delay(Duration::ZERO);
    cluster.await_pod("10.0.1.17", "").await;
    cluster.await_pod("10.0.1.18", "next").await;
    assert!(cluster.errors("pods, gone") > 0);
    cluster.await_state(ProviderState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_told_410_goes_on_after_a_list() {
    let cluster = Cluster::connected().await;
    cluster.server.expire_watches();
    cluster.put_pod("web", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_break_in_the_middle_of_a_line_miss_nothing() {
    let cluster = Cluster::connected().await;
    let lists = cluster.server.list_requests();
    for number in 0..20 {
        cluster.put_pod(&format!("web-{number}"), &format!("10.0.1.{}", number + 1));
        if number % 5 == 0 {
            cluster.server.break_watches();
        }
    }
    for number in 0..20 {
        let ip = format!("10.0.1.{}", number + 1);
        cluster.await_pod(&ip, &format!("web-{number}")).await;
    }
    let more = cluster.server.list_requests() - lists;
    assert_eq!(more, 0, "a watch goes on where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_nobody_can_read_is_made_up_for_by_a_list() {
    let cluster = Cluster::connected().await;
    cluster.server.garble_next_event();
    cluster.put_pod("web", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web").await;
    assert!(cluster.errors("pods, malformed") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_waited_for() {
    let mut cluster = Cluster::new();
    cluster.put_pod("web", "10.0.1.17");
    cluster.server.set_delay(Duration::from_millis(200));
    cluster.follow().await;
    assert_eq!(cluster.status().state, ProviderState::Starting);
    cluster.await_pod("10.0.1.17", "web").await;
    cluster.await_state(ProviderState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookmarks_keep_an_idle_watch_from_growing_old() {
    let mut cluster = Cluster::new();
    let interval = Duration::from_millis(10);
    cluster.server.set_bookmark_interval(interval);
    cluster.follow().await;
    cluster.await_state(ProviderState::Connected).await;
    let heard = cluster.part("nodes").last_event;
    // Much happens, but nothing to nodes. Then all of it is forgotten.
    for number in 0..50 {
        cluster.put_pod("web", &format!("10.0.1.{}", number + 1));
    }
    cluster.await_pod("10.0.1.50", "web").await;
    let bookmarks = cluster.server.bookmarks();
    until("each watch has heard a bookmark", || {
        cluster.server.bookmarks() > bookmarks + 50
    })
    .await;
    cluster.server.compact();
    cluster.server.stop();
    cluster.server.resume().unwrap();
    cluster.await_state(ProviderState::Connected).await;
    assert_eq!(cluster.part("nodes").last_event, heard);
    assert_eq!(cluster.errors("nodes, gone"), 0);
}

//! The API server is away, and comes back.

use std::time::{Duration, Instant};

use flow_observer::enrich::ProviderState;

use crate::support::{Cluster, test_seconds, until, until_within};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_starts_before_the_api_server_does() {
    let mut cluster = Cluster::new();
    cluster.put_pod("web", "10.0.1.17");
    cluster.server.stop();
    cluster.follow().await;
    cluster.await_state(ProviderState::Lost).await;
    let status = cluster.status();
    assert!(
        status.reason.to_lowercase().contains("refused"),
        "{}",
        status.reason
    );
    assert!(status.source.starts_with("http://127.0.0.1:"));
    cluster.server.resume().unwrap();
    cluster.await_pod("10.0.1.17", "web").await;
    cluster.await_state(ProviderState::Connected).await;
}

/// Two pods stay, one is deleted and one made while nobody hears of it, and the versions that the
/// server tells afterwards begin at `first`.
async fn outage(cluster: &mut Cluster, first: Option<u64>, length: Duration) {
    let recovery = Duration::from_secs(40);
    cluster.put_pod("stays", "10.0.1.1");
    cluster.put_pod("goes", "10.0.1.2");
    cluster.await_pod("10.0.1.2", "goes").await;
    let away = Instant::now();
    cluster.server.stop();
    cluster.await_state(ProviderState::Lost).await;
    cluster.server.delete("pods", "shop", "goes");
    cluster.put_pod("comes", "10.0.1.3");
    if let Some(first) = first {
        cluster.server.restore(first);
    }
    until_within(length + recovery, "the outage lasts", || {
        assert_eq!(cluster.pod_at("10.0.1.1"), "stays", "no name is lost");
        assert_eq!(
            cluster.pod_at("10.0.1.2"),
            "goes",
            "nor one that nobody took back"
        );
        away.elapsed() >= length
    })
    .await;
    let status = cluster.status();
    assert_eq!(status.state, ProviderState::Lost);
    assert!(status.age_seconds + 1 >= length.as_secs(), "{status:?}");
    cluster.server.resume().unwrap();
    let back = Instant::now();
    until_within(recovery, "the new pod is known", || {
        assert_eq!(cluster.pod_at("10.0.1.1"), "stays", "no name is lost");
        cluster.pod_at("10.0.1.3") == "comes" && cluster.pod_at("10.0.1.2").is_empty()
    })
    .await;
    until_within(recovery, "connected", || {
        cluster.status().state == ProviderState::Connected
    })
    .await;
    assert_eq!(cluster.status().age_seconds, 0);
    println!(
        "outage of {length:?}: everything known {:?} after",
        back.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_goes_on_where_it_was() {
    let mut cluster = Cluster::connected().await;
    outage(&mut cluster, None, Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_with_an_older_history_is_believed() {
    let mut cluster = Cluster::connected().await;
    outage(&mut cluster, Some(1), Duration::from_secs(1)).await;
    // What comes later is heard, too.
    cluster.put_pod("later", "10.0.1.4");
    cluster.await_pod("10.0.1.4", "later").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_with_a_newer_history_is_believed() {
    let mut cluster = Cluster::connected().await;
    outage(&mut cluster, Some(1_000_000), Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_after_an_outage_too_short_to_list_is_noticed_by_its_versions() {
    let mut cluster = Cluster::new();
    cluster.usual_patience();
    cluster
        .server
        .set_bookmark_interval(Duration::from_millis(50));
    cluster.follow().await;
    cluster.await_state(ProviderState::Connected).await;
    cluster.put_pod("goes", "10.0.1.2");
    cluster.await_pod("10.0.1.2", "goes").await;
    cluster.server.stop();
    cluster.server.delete("pods", "shop", "goes");
    cluster.put_pod("comes", "10.0.1.3");
    cluster.server.restore(1);
    cluster.server.resume().unwrap();
    cluster.await_pod("10.0.1.3", "comes").await;
    assert!(cluster.errors("pods, other_history") > 0);
    until("the old one is gone", || {
        cluster.pod_at("10.0.1.2").is_empty()
    })
    .await;
}

/// The same with the patience that users have, whatever history comes back: for a minute in CI, and else
/// for long enough that everything is listed anew.
#[tokio::test(flavor = "multi_thread")]
async fn long_without_the_api_server_no_name_is_lost() {
    let length = test_seconds(20);
    let outages = [Some(1), Some(1_000_000), None].map(|first| {
        tokio::spawn(async move {
            let mut cluster = Cluster::new();
            cluster.usual_patience();
            cluster.follow().await;
            cluster.await_state(ProviderState::Connected).await;
            outage(&mut cluster, first, length).await;
        })
    });
    for outage in outages {
        outage.await.unwrap();
    }
}

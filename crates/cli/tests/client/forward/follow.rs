//! A relay whose pods come and go under somebody who follows.

use super::{
    cluster::Cluster,
    relay::{Relay, flow, gap},
};

#[test]
fn a_follow_goes_on_with_the_next_pod_and_shows_nothing_twice() {
    let first = Relay::following(vec![flow("node-1", 10, "one"), flow("node-2", 9, "two")]);
    let second = Relay::following(vec![
        flow("node-2", 9, "two"),
        flow("node-1", 10, "one"),
        flow("node-2", 11, "three"),
        flow("node-3", 10, "four"),
    ]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &first)]);
    let flags = ["observe", "-f", "-P", "--last", "2", "--verdict", "DROPPED"];
    let mut following = cluster.follow(&flags);
    assert_eq!([following.uuid(), following.uuid()], ["one", "two"]);
    cluster.api.delete("pods", "kube-system", "relay-0");
    cluster.relay("kube-system", "hubble-relay", &[("relay-1", &second)]);
    assert_eq!([following.uuid(), following.uuid()], ["three", "four"]);
    let stderr = following.interrupt();
    let going_on = "going on with a pod of the relay";
    let line = stderr.lines().find(|line| line.contains(going_on));
    let line = line.unwrap_or_else(|| panic!("{stderr}"));
    assert!(line.contains("pod=kube-system/relay-1:4245"), "{line}");
    assert!(line.contains("since=2026-02-25T06:13:29Z"), "{line}");
    let (before, after) = (first.asked().remove(0), second.asked().remove(0));
    assert_eq!((before.number, after.number), (2, 0));
    assert_eq!(before.since, None);
    assert_eq!(after.since.map(|it| it.seconds), Some(1_772_000_009));
    assert_eq!((after.follow, after.whitelist), (true, before.whitelist));
}

#[test]
fn a_connection_that_breaks_without_a_word_is_made_again() {
    let relay = Relay::following(vec![flow("node-1", 1, "one")]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let mut following = cluster.follow(&["observe", "-f", "-P"]);
    assert_eq!(following.uuid(), "one");
    cluster.api.cut_forwards();
    let asked_again = || relay.asked().len() == 2;
    eventually(asked_again);
    let stderr = following.interrupt();
    assert_eq!(stderr.matches("level=WARN").count(), 2, "{stderr}");
}

#[test]
fn where_no_flow_came_yet_what_happened_since_the_start_is_asked_for() {
    let relay = Relay::following(vec![gap("node-1", 1)]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let before = std::time::SystemTime::now();
    let mut following = cluster.follow(&["observe", "-f", "-P"]);
    // Not before it has an answer: a first call that breaks ends it.
    let line = following.line();
    assert!(line.contains("lost_events"), "{line}");
    cluster.api.cut_forwards();
    eventually(|| relay.asked().len() == 2);
    let since = relay.asked()[1].since.unwrap();
    let before = prost_types::Timestamp::from(before);
    assert!(since.seconds >= before.seconds, "{since:?} {before:?}");
    following.interrupt();
}

#[test]
fn of_two_pods_the_other_one_is_next() {
    let first = Relay::following(vec![flow("node-1", 1, "one")]);
    let second = Relay::following(vec![flow("node-1", 2, "two")]);
    let cluster = Cluster::new();
    let pods = [("relay-0", &first), ("relay-1", &second)];
    cluster.relay("kube-system", "hubble-relay", &pods);
    let mut following = cluster.follow(&["observe", "-f", "-P"]);
    assert_eq!(following.uuid(), "one");
    cluster.api.cut_forwards();
    assert_eq!(following.uuid(), "two");
    following.interrupt();
}

#[test]
fn a_follow_waits_while_no_pod_is_ready_and_ends_where_it_may_no_longer() {
    let relay = Relay::following(vec![flow("node-1", 1, "one")]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let mut following = cluster.follow(&["observe", "-f", "-P"]);
    assert_eq!(following.uuid(), "one");
    cluster.slice("kube-system", "hubble-relay", &[("relay-0", false)]);
    let before = cluster.api.requests().len();
    cluster.api.cut_forwards();
    eventually(|| cluster.api.requests().len() > before + 4);
    cluster.api.forbid("endpointslices", true);
    cluster.api.forbid("services", true);
    let (code, stderr) = following.ended();
    assert_eq!(code, Some(1), "{stderr}");
    let waiting = "no pod of the relay to go on with yet: trying again";
    assert_eq!(stderr.matches(waiting).count(), 1, "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("services \"hubble-relay\" is forbidden"),
        "{last}"
    );
}

#[track_caller]
fn eventually(is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "not within a minute");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

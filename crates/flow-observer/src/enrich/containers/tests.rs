use std::{fs, os::unix::fs::symlink, path::PathBuf};

use proptest::prelude::*;

use super::*;
use crate::enrich::{Inventory, ProviderState, facts::EndpointFact};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A host with nothing but a first process.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.process(1, "host", "/init.scope", "");
        symlink("1", host.path("proc/self")).unwrap();
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A process in a network, in a cgroup, that has an address.
    fn process(&self, pid: u32, network: &str, cgroup: &str, ip: &str) {
        self.write(&format!("networks/{network}"), "");
        self.write(
            &format!("proc/{pid}/cgroup"),
            &format!("1:name=systemd:/\n0::{cgroup}\n"),
        );
        self.write(
            &format!("proc/{pid}/net/fib_trie"),
            &format!("Local:\n  |-- {ip}\n     /32 host LOCAL\n"),
        );
        let namespace = self.path(&format!("proc/{pid}/ns/net"));
        fs::create_dir_all(namespace.parent().unwrap()).unwrap();
        drop(fs::remove_file(&namespace));
        symlink(self.path(&format!("networks/{network}")), namespace).unwrap();
    }

    fn scanner(&self) -> Scanner {
        Scanner::new(self.0.path())
    }
}

fn endpoints(scanner: &mut Scanner) -> Vec<EndpointFact> {
    let facts = scanner.scan().unwrap().into_values();
    let mut endpoints: Vec<_> = facts
        .filter_map(|fact| match fact {
            Fact::Endpoint(fact) => Some(fact),
            _ => None,
        })
        .collect();
    endpoints.sort_by(|one, other| one.ips.cmp(&other.ips));
    endpoints
}

fn docker() -> String {
    format!("/system.slice/docker-{ID}.scope")
}

#[test]
fn a_container_is_named_by_its_runtimes_own_files() {
    let host = Host::new();
    host.process(20, "one", &docker(), "172.17.0.2");
    host.write(
        &format!("var/lib/docker/containers/{ID}/config.v2.json"),
        r#"{"Name":"/web","Config":{"Image":"nginx:1.27","Env":["SECRET=x"]}}"#,
    );
    let found = endpoints(&mut host.scanner());
    assert_eq!(found.len(), 1);
    let container = &found[0];
    assert_eq!(
        container.ips,
        ["172.17.0.2".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(container.pod, "web");
    let id = format!("container:id={ID}");
    assert_eq!(
        container.labels,
        [
            &*id,
            "container:runtime=docker",
            "container:name=web",
            "container:image=nginx:1.27"
        ]
    );
    let workload = container.workload.as_ref().unwrap();
    assert_eq!((&*workload.kind, &*workload.name), ("Container", "web"));
}

#[test]
fn without_files_the_short_identifier_is_the_name() {
    let host = Host::new();
    host.process(20, "one", &docker(), "172.17.0.2");
    assert_eq!(endpoints(&mut host.scanner())[0].pod, "0123456789ab");
}

#[test]
fn podman_and_containerd_tell_names_images_and_pods() {
    let host = Host::new();
    host.process(
        20,
        "one",
        &format!("/machine.slice/libpod-{ID}.scope"),
        "10.88.0.2",
    );
    host.write(
        "var/lib/containers/storage/overlay-containers/containers.json",
        &format!(
            r#"[{{"id":"{ID}","names":["db"],"metadata":"{{\"image-name\":\"postgres:17\"}}"}}]"#
        ),
    );
    let other = ID.replace('0', "f");
    let cgroup = format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{other}.scope");
    host.process(30, "two", &cgroup, "10.244.0.9");
    host.write(
        &format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{other}/config.json"),
        r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"web-0",
            "io.kubernetes.cri.sandbox-namespace":"shop",
            "io.kubernetes.cri.image-name":"web:2"}}"#,
    );
    let found = endpoints(&mut host.scanner());
    assert_eq!(found[0].pod, "db");
    assert!(
        found[0]
            .labels
            .contains(&"container:image=postgres:17".to_owned())
    );
    assert_eq!((&*found[1].namespace, &*found[1].pod), ("shop", "web-0"));
    assert!(
        found[1]
            .labels
            .contains(&"container:image=web:2".to_owned())
    );
}

#[test]
fn a_unit_with_a_network_of_its_own_is_an_endpoint_and_a_terminal_is_none() {
    let host = Host::new();
    host.process(20, "one", "/system.slice/vpn.service", "10.8.0.2");
    host.process(
        30,
        "two",
        "/user.slice/user-0.slice/session-3.scope",
        "10.9.0.2",
    );
    host.process(40, "host", "/system.slice/sshd.service", "192.0.2.1");
    let found = endpoints(&mut host.scanner());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].pod, "vpn.service");
    assert_eq!(found[0].labels, ["systemd:unit=vpn.service"]);
    assert_eq!(found[0].workload.as_ref().unwrap().kind, "Unit");
}

#[test]
fn a_network_belongs_to_its_oldest_container() {
    let host = Host::new();
    let sidecar = ID.replace('0', "f");
    host.process(50, "one", &format!("/docker/{sidecar}"), "172.17.0.2");
    host.process(20, "one", &docker(), "172.17.0.2");
    host.process(10, "one", "/system.slice/docker.service", "172.17.0.2");
    let found = endpoints(&mut host.scanner());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].pod, "0123456789ab");
}

#[test]
fn what_is_gone_is_forgotten_and_what_moves_is_followed() {
    let host = Host::new();
    host.process(20, "host", "/system.slice/docker.service", "192.0.2.1");
    let mut scanner = host.scanner();
    assert!(endpoints(&mut scanner).is_empty());
    // A runtime starts a process first, and gives it a network and a cgroup then.
    host.process(20, "one", &docker(), "172.17.0.2");
    assert_eq!(endpoints(&mut scanner)[0].pod, "0123456789ab");
    fs::remove_dir_all(host.path("proc/20")).unwrap();
    assert!(endpoints(&mut scanner).is_empty());
    assert!(scanner.is_empty());
}

#[test]
fn an_address_that_changes_later_is_seen() {
    let host = Host::new();
    host.process(20, "one", &docker(), "172.17.0.2");
    let mut scanner = host.scanner();
    for _ in 0..20 {
        endpoints(&mut scanner);
    }
    host.process(20, "one", &docker(), "172.17.0.3");
    let new: std::net::IpAddr = "172.17.0.3".parse().unwrap();
    assert!((0..20).any(|_| endpoints(&mut scanner)[0].ips == [new]));
}

#[test]
fn a_pipe_or_a_large_file_where_a_runtime_should_have_written_is_passed_over() {
    let host = Host::new();
    host.process(20, "one", &docker(), "172.17.0.2");
    let path = format!("var/lib/docker/containers/{ID}/config.v2.json");
    host.write(&path, &format!(r#"{{"Name":"/{}"}}"#, "x".repeat(2 << 20)));
    assert_eq!(endpoints(&mut host.scanner())[0].pod, "0123456789ab");
    host.write(&path, "{\"Name\":\"/two\\nlines\"}");
    assert_eq!(endpoints(&mut host.scanner())[0].pod, "0123456789ab");
    fs::remove_file(host.path(&path)).unwrap();
    fs::create_dir(host.path(&path)).unwrap();
    assert_eq!(endpoints(&mut host.scanner())[0].pod, "0123456789ab");
}

#[test]
fn only_what_changed_is_told() {
    let host = Host::new();
    host.process(20, "one", &docker(), "172.17.0.2");
    let mut scanner = host.scanner();
    let first = scanner.scan().unwrap();
    assert_eq!(changes(&BTreeMap::new(), &first).len(), 1);
    assert!(changes(&first, &scanner.scan().unwrap()).is_empty());
    let removed = changes(&first, &BTreeMap::new());
    assert!(matches!(&*removed, [Change::Remove(_)]));
    let directory = Directory::new("n1", Inventory::default());
    directory.apply(Provider::Containers, changes(&BTreeMap::new(), &first));
    let snapshot = directory.snapshot();
    let container = snapshot.endpoint("172.17.0.2".parse().unwrap());
    assert_eq!(&*container.pod_name, "0123456789ab");
}

#[test]
fn containers_are_looked_for_where_nobody_else_names_workloads() {
    let auto = ContainerMode::Auto;
    assert!(auto.is_on(&SourceSpec::Probes, false));
    assert!(!auto.is_on(&SourceSpec::Probes, true));
    assert!(!auto.is_on(&SourceSpec::None, false));
    assert!(ContainerMode::On.is_on(&SourceSpec::Probes, true));
    assert!(!ContainerMode::Off.is_on(&SourceSpec::Probes, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_file_is_too_strange(cgroup in "\\PC{0,80}", trie in "\\PC{0,80}", config in "\\PC{0,80}") {
        let host = Host::new();
        host.process(20, "one", &docker(), "172.17.0.2");
        host.process(21, "two", &cgroup, &trie);
        host.write(&format!("var/lib/docker/containers/{ID}/config.v2.json"), &config);
        prop_assert_eq!(&endpoints(&mut host.scanner())[0].pod, "0123456789ab");
    }
}

#[test]
fn its_status_counts_who_was_found_and_keeps_it_when_nobody_can_be_seen() {
    let host = Host::new();
    host.process(20, "one", &docker(), "172.17.0.2");
    host.process(30, "two", "/system.slice/vpn.service", "10.9.0.2");
    let (mut scanner, standing) = (host.scanner(), Standing::new("containers", String::new()));
    let found = look_once(&mut scanner, &standing, &BTreeMap::new()).unwrap();
    let good = standing.report();
    assert_eq!(good.state, ProviderState::Connected);
    let parts: Vec<_> = good.parts.iter().map(|it| (it.name, it.objects)).collect();
    assert_eq!(parts, [("containers", 1), ("units", 1)]);

    fs::rename(host.path("proc"), host.path("away")).unwrap();
    assert_eq!(look_once(&mut scanner, &standing, &found), None);
    let lost = standing.report();
    assert_eq!((lost.state, lost.objects), (ProviderState::Lost, 2));
    assert!(lost.reason.starts_with("cannot list "), "{}", lost.reason);

    fs::rename(host.path("away"), host.path("proc")).unwrap();
    assert_eq!(look_once(&mut scanner, &standing, &found), Some(found));
    assert_eq!(standing.report().state, ProviderState::Connected);
    assert_eq!(standing.report().last_event, None, "the same as before");
}

//! Real clusters on this machine. Without the privileges for that the tests are shown as ignored,
//! unless CI says that they must run.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Result, ensure};
use testbed::{
    Cluster, Spec, bind,
    exchange::{self, Family},
    requirements,
    rules::{self, Rule},
    workload::{Scene, demo_spec},
};

fn main() -> Result<ExitCode> {
    testbed::remove_on_signals()?;
    let trials = rules::trials("a test of clusters", RULES, &requirements::for_cluster());
    Ok(rules::run(trials))
}

const RULES: &[Rule] = &[
    (
        "pods_exchange_udp_and_tcp_within_a_node_and_between_nodes",
        exchanges_succeed,
    ),
    ("a_dropped_exchange_never_arrives", drops_never_arrive),
    ("nothing_is_left_when_a_cluster_is_dropped", nothing_is_left),
    ("two_clusters_run_at_once", two_at_once),
    (
        "a_child_runs_in_its_pod_and_sees_the_hosts_sys",
        child_in_pod,
    ),
    (
        "the_scene_has_traffic_that_succeeds_and_traffic_that_is_dropped",
        scene_works,
    ),
];

fn exchanges_succeed() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let web = cluster.pod("shop/web-0")?;
    for server in ["shop/cart-0", "shop/api-0"] {
        let server = cluster.pod(server)?;
        for family in [Family::V4, Family::V6] {
            let udp = exchange::udp(web, server, family, 7000, 5)?;
            ensure!(
                udp.client.ip() == family.address(web),
                "request from {}",
                udp.client
            );
            exchange::tcp(web, server, family, 7000, 5)?;
        }
    }
    Ok(())
}

fn drops_never_arrive() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (web, db) = (cluster.pod("shop/web-0")?, cluster.pod("shop/db-0")?);
    cluster.node("node-2")?.drop_traffic(web, db, 5432)?;
    for family in [Family::V4, Family::V6] {
        let dropped = SocketAddr::new(family.address(db), 5432);
        let socket = db.run(|| Ok(bind::udp(dropped)?))?;
        let sent = exchange::drops(web, db, family, 5432, 20)?;
        let ports: BTreeSet<u16> = sent.iter().map(|it| it.client.port()).collect();
        ensure!(ports.len() == 20, "{} ports for 20 datagrams", ports.len());

        // What follows them on the same way to another port shows that they had time to arrive.
        exchange::udp(web, db, family, 5433, 1)?;
        socket.set_nonblocking(true)?;
        ensure!(
            socket.recv(&mut [0; 64]).is_err(),
            "a datagram came through the drop rule"
        );
    }
    Ok(())
}

fn nothing_is_left() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let names: Vec<_> = cluster.pods().map(|pod| pod.namespace().path()).collect();
    let directory = cluster.directory().to_owned();
    ensure!(
        directory.exists() && names.iter().all(|name| name.exists()),
        "nothing was built"
    );
    drop(cluster);
    for path in names.iter().chain([&directory]) {
        ensure!(!path.exists(), "{} is left", path.display());
    }
    Ok(())
}

fn two_at_once() -> Result<()> {
    let (one, two) = (
        Cluster::start(&Spec::two_nodes())?,
        Cluster::start(&Spec::two_nodes())?,
    );
    for cluster in [&one, &two] {
        let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
        exchange::udp(web, api, Family::V4, 7000, 1)?;
    }
    drop(one);
    exchange::udp(
        two.pod("shop/web-0")?,
        two.pod("shop/api-0")?,
        Family::V6,
        7000,
        1,
    )?;
    Ok(())
}

fn child_in_pod() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let pod = cluster.pod("shop/web-0")?;
    let mut command = Command::new("sh");
    command
        .args(["-c", "stat -Lc %i /proc/self/ns/net; ls /sys/fs/"])
        .stdout(Stdio::piped());
    let output = pod.spawn(command)?.wait_with_output()?;
    let printed = String::from_utf8(output.stdout)?;
    let (inode, sys) = printed.split_once('\n').unwrap_or_default();
    ensure!(
        inode == pod.namespace().inode()?.to_string(),
        "the child was in namespace {inode}"
    );
    ensure!(
        !Path::new("/sys/fs/bpf").exists() || sys.contains("bpf"),
        "no bpf in /sys/fs: {sys}"
    );
    Ok(())
}

fn scene_works() -> Result<()> {
    let cluster = Cluster::start(&demo_spec(3))?;
    let scene = Scene::start(&cluster)?;
    scene.warm_up()?;
    for workload in scene.workloads() {
        ensure!(
            workload.failed() == 0,
            "{}: {} failed",
            workload.name(),
            workload.failed()
        );
    }
    Ok(())
}

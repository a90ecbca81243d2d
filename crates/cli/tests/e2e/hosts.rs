//! A host without Kubernetes: its containers and units have names, and an inventory that changes is
//! taken.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use flow_api::{
    flow::{Endpoint, Flow},
    observer::get_flows_response::ResponseTypes,
};
use tempfile::TempDir;
use testbed::{
    Cluster, Pod, Spec, bind,
    exchange::{self, Family},
    wait,
};

use crate::{Rule, palomar};

pub(crate) const RULES: &[Rule] = &[
    (
        "a_container_is_found_by_its_cgroup_and_named_in_flows",
        container,
    ),
    (
        "a_container_with_a_name_is_found_by_it_and_by_its_image",
        named_container,
    ),
    ("a_unit_of_the_host_is_named_on_both_ways", unit),
    (
        "an_inventory_that_changes_is_taken_and_a_broken_one_is_not",
        reload,
    ),
];

const PORT: u16 = 7000;
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// How long an agent may take to come up, and names to arrive in flows.
const WITHIN: Duration = Duration::from_secs(30);

fn container() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (web, cart) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    let cgroup = Cgroup::new("container", &format!("docker-{ID}.scope"))?;
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let _process = Contained::start(web.spawn(sleep)?, &cgroup)?;
    let agent = Agent::start(&cluster, "")?;
    let flow = wait::until("a flow of the container", WITHIN, || {
        exchange::udp(web, cart, Family::V4, PORT, 1)?;
        Ok(agent.flows(&["--from-workload", "0123456789ab"])?.pop())
    })?;
    let source = flow.source.context("no source")?;
    for label in [
        format!("container:id={ID}"),
        "container:runtime=docker".to_owned(),
    ] {
        ensure!(source.labels.contains(&label), "{:?}", source.labels);
    }
    ensure!(workload(&source) == "Container 0123456789ab", "{source:?}");
    ensure!(source.pod_name == "0123456789ab", "{source:?}");
    let flows = agent.flows(&["--label", "container:runtime=docker"])?;
    ensure!(!flows.is_empty(), "no flow by the label");
    let others = agent.flows(&["--to-workload", "0123456789ab"])?;
    ensure!(others.iter().all(|flow| is_to(flow, web)), "{others:?}");
    Ok(())
}

/// Filters as typed for Docker's container `web`.
const BY_NAME: &[&[&str]] = &[
    &["--pod", "/web"],
    &["--from-pod", "/we"],
    &["--workload", "web"],
    &["--from-workload", "Container/web"],
    &["--label", "container:name=web"],
    &["--from-label", "container:name in (web, api)"],
    &["--label", "container:image"],
];

fn named_container() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (web, cart) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    let cgroup = Cgroup::new("named", &format!("docker-{ID}.scope"))?;
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let _process = Contained::start(web.spawn(sleep)?, &cgroup)?;
    let agent = Agent::start_as(&cluster, "", with_docker)?;
    let send = || exchange::udp(web, cart, Family::V4, PORT, 1);
    let flow = wait::until("a flow of the container", WITHIN, || {
        send()?;
        Ok(agent.flows(&["--from-pod", "/web"])?.pop())
    })?;
    let source = flow.source.context("no source")?;
    ensure!(source.pod_name == "web" && source.namespace.is_empty());
    ensure!(workload(&source) == "Container web", "{source:?}");
    let image = "container:image=registry.example/nginx:1.27".to_owned();
    ensure!(source.labels.contains(&image), "{:?}", source.labels);
    for filter in BY_NAME {
        let flows = agent.flows(filter)?;
        ensure!(!flows.is_empty(), "no flow by {filter:?}");
        let is_web = |side: &Option<Endpoint>| side.as_ref().is_some_and(|it| it.pod_name == "web");
        let is_its = |flow: &Flow| is_web(&flow.source) || is_web(&flow.destination);
        ensure!(flows.iter().all(is_its), "{filter:?}: {flows:?}");
    }
    // What is no prefix of its name, and the namespace that a name alone stands for.
    for filter in ["/eb", "web"] {
        let flows = agent.flows(&["--from-pod", filter])?;
        ensure!(flows.is_empty(), "{filter}: {flows:?}");
    }
    let server = agent.server();
    let line = palomar::stdout(&["observe", "--server", &server, "--from-pod", "/web"])?;
    ensure!(line.contains(": web:") && line.contains(" -> "), "{line}");
    Ok(())
}

/// The same command where Docker has left a file about the container.
fn with_docker(command: Command) -> Command {
    const SCRIPT: &str = r#"
        set -e
        mount -t tmpfs tmpfs /var/lib
        mkdir -p "/var/lib/docker/containers/$1"
        printf %s "$2" > "/var/lib/docker/containers/$1/config.v2.json"
        shift 2
        exec "$@""#;
    let file = r#"{"Name": "/web", "Config": {"Image": "registry.example/nginx:1.27"}}"#;
    let mut within = Command::new("unshare");
    within.args(["--mount", "sh", "-c", SCRIPT, "sh", ID, file]);
    within.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => within.env(name, value),
            None => within.env_remove(name),
        };
    }
    within
}

fn is_to(flow: &Flow, pod: &Pod) -> bool {
    let ips = pod.ips().map(|ip| ip.to_string());
    flow.ip
        .as_ref()
        .is_some_and(|ip| ips.contains(&ip.destination))
}

fn unit() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (node, web) = (cluster.node("node-1")?, cluster.pod("shop/web-0")?);
    let cgroup = Cgroup::new("unit", "backup.service")?;
    let agent = Agent::start(&cluster, "")?;
    let there = SocketAddr::new(Family::V4.address(web), PORT);
    let listener = web.run(|| Ok(bind::tcp(there)?))?;
    let mut client = Command::new("bash");
    let script = format!("read; exec 3<>/dev/tcp/{}/{PORT}; read <&3", there.ip());
    client.args(["-c", &script]).stdin(Stdio::piped());
    let mut client = Contained::start(node.spawn(client)?, &cgroup)?;
    // Not before it is where it belongs.
    let stdin = client.0.stdin.as_mut().context("no standard input")?;
    stdin.write_all(b"go\n")?;
    let (mut connection, _) = listener.accept()?;
    connection.write_all(b"done\n")?;
    for side in ["--from-workload", "--to-workload"] {
        wait::until(side, WITHIN, || {
            let flows = agent.flows(&[side, "backup.service", "--detail"])?;
            let Some(flow) = flows.into_iter().next() else {
                return Ok(None);
            };
            let host = match side {
                "--from-workload" => flow.source,
                _ => flow.destination,
            };
            let host = host.context("no endpoint")?;
            ensure!(host.identity == 1, "{host:?}");
            let expected = ["reserved:host", "systemd:unit=backup.service"];
            ensure!(host.labels == expected, "{host:?}");
            ensure!(workload(&host) == "Unit backup.service", "{host:?}");
            Ok(Some(()))
        })?;
    }
    let printed = agent.printed(&["--label", "systemd:unit=backup.service", "--detail"])?;
    ensure!(printed.contains("\"unit\":\"backup.service\""), "{printed}");
    Ok(())
}

fn workload(endpoint: &Endpoint) -> String {
    let workloads = endpoint.workloads.iter();
    let told: Vec<_> = workloads
        .map(|it| format!("{} {}", it.kind, it.name))
        .collect();
    told.join(", ")
}

fn reload() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (web, cart) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    let named = |name: &str| {
        let ip = web.ipv4();
        format!("endpoints:\n  - ips: [{ip}]\n    namespace: bakery\n    pod: {name}\n")
    };
    let agent = Agent::start(&cluster, &named("oven-1"))?;
    let seen = |pod: &str| {
        wait::until(pod, WITHIN, || {
            exchange::udp(web, cart, Family::V4, PORT, 1)?;
            Ok(agent.flows(&["--from-pod", pod])?.pop())
        })
    };
    seen("bakery/oven-1")?;
    fs::write(agent.inventory(), "endpoints: [{ nmae: x }]\n")?;
    wait::until("a count of what was refused", WITHIN, || {
        let status = palomar::stdout(&["status", "--server", &agent.server(), "-o", "json"])?;
        Ok(status.contains("inventories_refused").then_some(()))
    })?;
    seen("bakery/oven-1")?;
    fs::write(agent.inventory(), named("oven-2"))?;
    seen("bakery/oven-2")?;
    Ok(())
}

/// An agent on the first node; killed on drop.
struct Agent {
    directory: TempDir,
    child: Child,
}

impl Agent {
    fn start(cluster: &Cluster, inventory: &str) -> Result<Self> {
        Self::start_as(cluster, inventory, |command| command)
    }

    fn start_as(
        cluster: &Cluster,
        inventory: &str,
        prepare: impl FnOnce(Command) -> Command,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = |name| directory.path().join(name).display().to_string();
        fs::write(path("inventory.yaml"), inventory)?;
        let command = palomar::command(&[
            "agent",
            "--node-name",
            "node-1",
            "--socket",
            &path("observer.sock"),
            "--inventory",
            &path("inventory.yaml"),
            "--aggregation",
            "none",
        ]);
        let child = cluster.node("node-1")?.spawn(prepare(command))?;
        let agent = Self { directory, child };
        wait::until("the agent", WITHIN, || {
            let status = palomar::run(&["status", "--server", &agent.server()])?;
            Ok(status.status.success().then_some(()))
        })?;
        Ok(agent)
    }

    fn inventory(&self) -> PathBuf {
        self.directory.path().join("inventory.yaml")
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("observer.sock")
    }

    fn server(&self) -> String {
        palomar::server(&self.socket())
    }

    fn printed(&self, filters: &[&str]) -> Result<String> {
        let server = self.server();
        let observe = ["observe", "--server", &server, "--all", "-o", "json"];
        palomar::stdout(&[&observe, filters].concat())
    }

    fn flows(&self, filters: &[&str]) -> Result<Vec<Flow>> {
        let responses = palomar::parse(&self.printed(filters)?)?;
        let flows = responses
            .into_iter()
            .filter_map(|response| match response.response_types {
                Some(ResponseTypes::Flow(flow)) => Some(flow),
                _ => None,
            });
        Ok(flows.collect())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A cgroup in one of its own; removed on drop.
struct Cgroup([PathBuf; 2]);

impl Cgroup {
    fn new(test: &str, name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let root = mounts
            .lines()
            .find_map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                (words.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(words[1]))
            })
            .context("cgroup2 is not mounted")?;
        let parent = root.join(format!("palomar-test-{test}-{}", std::process::id()));
        let own = parent.join(name);
        fs::create_dir_all(&own)?;
        Ok(Self([own, parent]))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in &self.0 {
            // A process that was killed stays in its group until the kernel is done with it.
            let removed = wait::until("an empty cgroup", WITHIN, || {
                Ok(fs::remove_dir(path).is_ok().then_some(()))
            });
            if let Err(error) = removed {
                eprintln!("{}: {error:#}", path.display());
            }
        }
    }
}

/// A process in a cgroup; killed on drop.
struct Contained(Child);

impl Contained {
    fn start(child: Child, cgroup: &Cgroup) -> Result<Self> {
        let contained = Self(child);
        let processes = cgroup.0[0].join("cgroup.procs");
        fs::write(processes, contained.0.id().to_string())?;
        Ok(contained)
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        // As above.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

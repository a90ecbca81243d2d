//! The demo's shop: which pods there are and who calls whom.
//!
//! ```text
//!  node-1                                node-2
//!  shop/frontend-0  ── dns ──▶ kube-system/coredns-0 (node-1)
//!  shop/frontend-0  ── http 80 ──▶ service shop/api ──▶ shop/api-0, port 8080
//!  shop/cart-0      ── udp 11211 ───────▶ shop/cache-0
//!  batch/mirror-0   ── dns, https ─────▶ api.github.com, a machine outside the cluster
//!  batch/crawler-0  ── tcp 5432 ────✗     shop/db-0        dropped by a rule on node-1
//! ```
//! Every further node has a `shop/frontend-N` of its own.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, bail};

use super::{
    Call, Certificate, Workload, Zone, call, call_blocked, send_datagrams, serve_dns, serve_http,
    serve_https, serve_udp,
};
use crate::{Cluster, Place as _, Pod, PodSpec, ServiceSpec, Spec, wait};

const DNS_PORT: u16 = 53;
const API_PORT: u16 = 8080;
const API_NAME: &str = "api.shop.svc.cluster.local";
/// Stands for everything that is not of the cluster: a machine on the nodes' wire.
const OUTSIDE: &str = "internet";
const GITHUB_NAME: &str = "api.github.com";
const HTTPS_PORT: u16 = 443;
/// Where clients reach the API; nodes translate to the pod's own address and port.
const SERVICE_PORT: u16 = 80;
const CACHE_PORT: u16 = 11211;
const DATABASE_PORT: u16 = 5432;

/// How often each client acts: a few packets a second, slow enough to read along.
const INTERVAL: Duration = Duration::from_millis(700);
/// Two rounds take two seconds at most when all goes well.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(15);

/// The pods of the scene on `nodes` nodes, two at least.
pub fn demo_spec(nodes: usize) -> Spec {
    let mut spec = Spec::with_nodes(nodes.max(2))
        .pod("node-1", PodSpec::new("shop", "frontend"))
        .pod("node-1", PodSpec::new("shop", "cart"))
        .pod("node-1", PodSpec::new("batch", "crawler"))
        .pod("node-1", PodSpec::new("kube-system", "coredns"))
        .pod("node-1", PodSpec::new("batch", "mirror"))
        .outside(OUTSIDE)
        .service(ServiceSpec {
            namespace: "shop".to_owned(),
            name: "api".to_owned(),
            port: SERVICE_PORT,
            pod: "shop/api-0".to_owned(),
            pod_port: API_PORT,
        })
        .pod("node-2", PodSpec::new("shop", "api"))
        .pod("node-2", PodSpec::new("shop", "cache"))
        .pod("node-2", PodSpec::new("shop", "db"));
    for number in 3..=nodes {
        let frontend = PodSpec::new("shop", "frontend").named(&format!("frontend-{}", number - 2));
        spec = spec.pod(&format!("node-{number}"), frontend);
    }
    spec
}

/// The scene's servers and clients at work; they stop on drop.
#[derive(Debug)]
pub struct Scene {
    servers: Vec<Workload>,
    clients: Vec<Workload>,
}

impl Scene {
    /// Starts the traffic in a cluster made from [`demo_spec`].
    ///
    /// # Errors
    /// When a pod of the scene is missing or the drop rule cannot be set.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let pod = |name| cluster.pod(name);
        let (coredns, api) = (pod("kube-system/coredns-0")?, pod("shop/api-0")?);
        let (cache, db) = (pod("shop/cache-0")?, pod("shop/db-0")?);
        let crawler = pod("batch/crawler-0")?;
        cluster
            .node(crawler.node())?
            .drop_traffic(crawler, db, DATABASE_PORT)?;

        // Servers before their clients, so that no first call fails.
        let [service] = cluster.services() else {
            bail!("a cluster of another kind: one service expected");
        };
        let github = cluster.outside(OUTSIDE)?;
        let certificate = Certificate::for_name(GITHUB_NAME)?;
        let zone = Zone::from([
            (API_NAME.to_owned(), service.ips().to_vec()),
            (GITHUB_NAME.to_owned(), github.ips().to_vec()),
        ]);
        let servers = vec![
            serve_dns(coredns, zone)?,
            serve_http(api, API_PORT)?,
            serve_http(db, DATABASE_PORT)?,
            serve_udp(cache, CACHE_PORT)?,
            serve_https(github, HTTPS_PORT, &certificate)?,
        ];
        let mut clients = vec![
            call(
                pod("batch/mirror-0")?,
                Call {
                    dns: sockets(coredns, DNS_PORT),
                    host: GITHUB_NAME.to_owned(),
                    tls: Some(certificate.client()),
                    port: HTTPS_PORT,
                    path: "/events".to_owned(),
                },
                INTERVAL,
            )?,
            send_datagrams(pod("shop/cart-0")?, sockets(cache, CACHE_PORT), INTERVAL)?,
            call_blocked(crawler, sockets(db, DATABASE_PORT), INTERVAL)?,
        ];
        let is_frontend = |pod: &&Pod| pod.spec().name.starts_with("frontend-");
        for frontend in cluster.pods().filter(is_frontend) {
            let to_api = Call {
                dns: sockets(coredns, DNS_PORT),
                host: API_NAME.to_owned(),
                tls: None,
                port: SERVICE_PORT,
                path: "/basket".to_owned(),
            };
            clients.push(call(frontend, to_api, INTERVAL)?);
        }
        Ok(Self { servers, clients })
    }

    /// Waits until every client has been through its first calls, by IPv4 and by IPv6. From then
    /// on everybody knows their neighbours, and the stream holds little but the scene itself.
    ///
    /// # Errors
    /// When a client has not got that far in several times the time it should take.
    pub fn warm_up(&self) -> Result<()> {
        wait::until("the first calls of all clients", WARM_UP_TIMEOUT, || {
            let warm = self.clients.iter().all(|client| client.done() >= 2);
            Ok(warm.then_some(()))
        })
    }

    /// Who calls whom, a line each.
    pub fn description() -> String {
        format!(
            "shop/frontend-* ask kube-system/coredns-0 for {API_NAME}, then GET from the service shop/api, port {SERVICE_PORT}, which is shop/api-0 port {API_PORT}\n\
             shop/cart-0 sends to shop/cache-0, udp port {CACHE_PORT}\n\
             batch/mirror-0 asks for {GITHUB_NAME}, which here is a machine outside the cluster, then GETs from it by HTTPS\n\
             batch/crawler-0 tries shop/db-0 port {DATABASE_PORT}, which an nftables rule drops"
        )
    }

    /// All servers and clients, for their counts.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.servers.iter().chain(&self.clients)
    }

    /// The clients, for their counts.
    pub fn clients(&self) -> &[Workload] {
        &self.clients
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // All are told before the first is waited for.
        self.workloads().for_each(Workload::stop);
    }
}

/// `port` on both addresses of `pod`.
fn sockets(pod: &Pod, port: u16) -> Vec<SocketAddr> {
    pod.ips()
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect()
}

//! Requests and responses of real programs: curl, which looks the server up at dnsmasq, asks twice
//! on one connection, and has secrets to keep.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use flow_api::{
    extension,
    flow::{Dns, Flow, Http, L7FlowType, layer4::Protocol, layer7::Record},
};
use testbed::{Cluster, Place as _, wait};

use crate::{
    Rule,
    names::{TIMEOUT, call_by_name, serve_names, with_outside},
    palomar::observe,
    requests::{MAX_LATENCY, THINKING, flows, with_http_server},
};

pub(crate) const RULES: &[Rule] = &[(
    "what_curl_asks_dnsmasq_and_a_server_is_told_with_latency_and_without_secrets",
    asked_by_curl,
)];

const PORT: u16 = 8080;
const NAME: &str = "api.example.test";

fn asked_by_curl() -> Result<()> {
    with_outside(&["api"], |cluster| {
        let server = cluster.outside("api")?;
        let [v4, _] = server.ips();
        let _dnsmasq = serve_names(cluster, &[&format!("--host-record={NAME},{v4}")])?;
        with_http_server(server, SocketAddr::from((v4, PORT)), || {
            call_by_name(
                cluster,
                &format!(
                    "-u shop:s3cret -b session=s3cret \
                     'http://{NAME}:{PORT}/cart?token=s3cret&page=2' http://{NAME}:{PORT}/missing"
                ),
            )
        })?;
        let told = wait::until("both answers", TIMEOUT, || {
            let told = messages(cluster)?;
            let answers = https(&told).filter(|(_, http)| http.code != 0).count();
            Ok((answers == 2).then_some(told))
        })?;
        ensure!(!format!("{told:?}").contains("s3cret"), "{told:#?}");
        http_is_told(&told)?;
        dns_is_told(&told, &v4.to_string())
    })
}

/// All that the node tells of requests and responses, with details.
fn messages(cluster: &Cluster) -> Result<Vec<Flow>> {
    let socket = cluster.agent_socket("node-1");
    let all = ["--last", "65535", "--type", "l7", "--detail"];
    Ok(flows(observe(&socket, &all)?))
}

fn https(told: &[Flow]) -> impl Iterator<Item = (&Flow, &Http)> {
    told.iter()
        .filter_map(|flow| match &flow.l7.as_ref()?.record {
            Some(Record::Http(http)) => Some((flow, http)),
            _ => None,
        })
}

fn http_is_told(told: &[Flow]) -> Result<()> {
    let cart = format!("http://{NAME}:{PORT}/cart?token=HUBBLE_REDACTED&page=HUBBLE_REDACTED");
    let missing = format!("http://{NAME}:{PORT}/missing");
    let expected = [(0, &cart), (200, &cart), (0, &missing), (404, &missing)];
    let found: Vec<_> = https(told).map(|(_, it)| (it.code, &it.url)).collect();
    ensure!(found == expected, "{told:#?}");

    let mut ports = Vec::new();
    for (flow, http) in https(told) {
        ensure!(
            (&*http.method, &*http.protocol) == ("GET", "HTTP/1.1"),
            "{flow:#?}"
        );
        let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().and_then(|it| it.protocol.as_ref()) else {
            anyhow::bail!("no ports: {flow:#?}");
        };
        let header = |key: &str| {
            http.headers
                .iter()
                .find(|it| it.key == key)
                .map(|it| &*it.value)
        };
        let detail = extension::flow_detail(flow.extensions.as_ref()).context("no detail")?;
        let names = if http.code == 0 {
            ports.push(tcp.source_port);
            ensure!(
                header("Authorization") == Some("HUBBLE_REDACTED"),
                "{flow:#?}"
            );
            ensure!(header("Cookie") == Some("HUBBLE_REDACTED"), "{flow:#?}");
            ensure!(flow.destination_names == [NAME], "{flow:#?}");
            detail.destination_names
        } else {
            ports.push(tcp.destination_port);
            ensure!(header("Set-Cookie") == Some("HUBBLE_REDACTED"), "{flow:#?}");
            let latency = latency(flow);
            ensure!(latency >= THINKING && latency < MAX_LATENCY, "{flow:#?}");
            ensure!(flow.source_names == [NAME], "{flow:#?}");
            detail.source_names
        };
        // The request names the server, too, and what was said last is what counts.
        let origin = names.first().map(|it| &*it.origin);
        ensure!(matches!(origin, Some("dns" | "http")), "{names:?}");
    }
    ports.dedup();
    ensure!(ports.len() == 1, "one connection, not {ports:?}");
    Ok(())
}

fn dns_is_told(told: &[Flow], address: &str) -> Result<()> {
    let dns = |kind: L7FlowType| {
        told.iter().filter_map(move |flow| match flow.l7.as_ref()? {
            l7 if l7.r#type() != kind => None,
            l7 => match &l7.record {
                Some(Record::Dns(dns)) => Some((flow, dns)),
                _ => None,
            },
        })
    };
    let is_asked = |dns: &Dns| dns.query == format!("{NAME}.") && dns.qtypes == ["A"];
    ensure!(
        dns(L7FlowType::Request).any(|(_, dns)| is_asked(dns)),
        "{told:#?}"
    );
    let answered = |(flow, dns): (&Flow, &Dns)| {
        let latency = latency(flow);
        is_asked(dns)
            && dns.ips == [address]
            && dns.observation_source == "passive"
            && latency > Duration::ZERO
            && latency < MAX_LATENCY
    };
    ensure!(dns(L7FlowType::Response).any(answered), "{told:#?}");
    Ok(())
}

fn latency(flow: &Flow) -> Duration {
    Duration::from_nanos(flow.l7.as_ref().map_or(0, |it| it.latency_ns))
}

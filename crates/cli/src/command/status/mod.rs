//! `palomar status`: is the server well, and how much does it hold?

mod agent;

use anyhow::{Context as _, bail};
use flow_api::{
    HEALTH_SERVICE, json,
    observer::{ServerStatusRequest, ServerStatusResponse},
    palomar::{GetAgentStatusRequest, GetAgentStatusResponse},
};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tracing::debug;

use super::{output::Args, uptime};
use crate::cli::Globals;
use crate::config::Config;
use crate::print::{Escape, append, grouped, tabs};
use crate::settings::Settings;
use crate::source::server::{RpcError, Server};

pub(crate) async fn run(globals: Globals<Args>, shutdown: CancellationToken) -> anyhow::Result<()> {
    shutdown
        .run_until_cancelled(status(globals.command, globals.config))
        .await
        .unwrap_or(Ok(()))
}

async fn status(args: Args, config: Config) -> anyhow::Result<()> {
    let output = args.output.as_deref().unwrap_or("compact");
    let settings = Settings::new(args.server, config)?;
    let server = Server::connect_in_time(&settings).await.map_err(|error| {
        if error.is::<RpcError>() {
            error.context("failed getting status")
        } else {
            error
        }
    })?;
    let request = HealthCheckRequest {
        service: HEALTH_SERVICE.to_owned(),
    };
    let mut health = server.health();
    let health = server
        .unary(request, async |request| health.check(request).await)
        .await
        .context("failed getting status")?;
    let serving = health.status == i32::from(ServingStatus::Serving);
    if output == "compact" {
        let state = if serving {
            "Ok".to_owned()
        } else {
            format!("Unavailable: {}", serving_status(health.status))
        };
        super::print(&format!("Healthcheck (via {}): {state}", server.name()))?;
    }
    if !serving {
        bail!("not healthy");
    }
    let mut observer = server.observer();
    let status = server
        .unary(ServerStatusRequest {}, async |request| {
            observer.server_status(request).await
        })
        .await
        .context("failed to get hubble server status")?;
    let agent = agent_status(&server, &status).await;
    let mut out = Vec::new();
    match output {
        "compact" => {
            compact(&mut out, status);
            if let Some(agent) = &agent {
                agent::lines(&mut out, agent);
            }
        }
        "dict" => dict(&mut out, &status),
        "json" | "JSON" | "jsonpb" => write_json(&mut out, &status, agent.as_ref()),
        "tab" | "table" => table(&mut out, &status),
        other => bail!("invalid output format: {other}"),
    }
    super::print_bytes(&out)
}

/// What an agent of Palomar says about itself; `None` for other servers.
async fn agent_status(
    server: &Server,
    status: &ServerStatusResponse,
) -> Option<GetAgentStatusResponse> {
    if !status.version.starts_with(agent::VERSION_PREFIX) {
        return None;
    }
    let mut client = server.agent();
    let asking = server.unary(GetAgentStatusRequest {}, async |request| {
        client.get_agent_status(request).await
    });
    match asking.await {
        Ok(status) => Some(status),
        Err(error) => {
            debug!(%error, "the agent says nothing about itself");
            None
        }
    }
}

/// The answer of every server, with the agent's own under `agent`.
fn write_json(
    out: &mut Vec<u8>,
    status: &ServerStatusResponse,
    agent: Option<&GetAgentStatusResponse>,
) {
    json::write(status, out);
    if let Some(agent) = agent
        && out.pop() == Some(b'}')
    {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(b"\"agent\":");
        json::write(agent, out);
        out.push(b'}');
    }
}

fn serving_status(number: i32) -> String {
    match ServingStatus::try_from(number) {
        Ok(status) => status.as_str_name().to_owned(),
        Err(_) => number.to_string(),
    }
}

fn compact(out: &mut Vec<u8>, mut status: ServerStatusResponse) {
    let (now, most) = (status.num_flows, status.max_flows);
    append!(out, "Current/Max Flows: {}/{}", grouped(now), grouped(most));
    if most > 0 {
        append!(out, " ({:.2}%)", ratio(now, most) * 100.0);
    }
    let rate = rate(&status).unwrap_or_else(|| {
        let uptime = uptime::seconds(status.uptime_ns.cast_signed());
        if uptime > 0.0 {
            format!("{:.2}", status.seen_flows as f64 / uptime)
        } else {
            "N/A".to_owned()
        }
    });
    append!(out, "\nFlows/s: {rate}\n");
    let unavailable = status.num_unavailable_nodes;
    if let Some(connected) = status.num_connected_nodes {
        append!(out, "Connected Nodes: {connected}");
        if let Some(unavailable) = unavailable {
            append!(out, "/{}", connected.wrapping_add(unavailable));
        }
        append!(out, "\n");
    }
    let Some(unavailable) = unavailable.filter(|unavailable| *unavailable > 0) else {
        return;
    };
    append!(out, "Unavailable Nodes: {unavailable}\n");
    if status.unavailable_nodes.is_empty() {
        return;
    }
    status.unavailable_nodes.sort_unstable();
    for name in &status.unavailable_nodes {
        append!(out, "  - ");
        Escape::for_stdout().write(out, name);
        append!(out, "\n");
    }
    let named = u32::try_from(status.unavailable_nodes.len()).unwrap_or(u32::MAX);
    if unavailable > named {
        append!(out, "  - and {} more...\n", unavailable - named);
    }
}

/// The fields of the other text formats. Dict and table name the unavailable nodes differently.
fn fields(status: &ServerStatusResponse) -> [(&'static str, String); 8] {
    let count = |number: Option<u32>| number.map_or_else(|| "N/A".to_owned(), |n| n.to_string());
    let mut version = Vec::new();
    Escape::for_stdout().write(&mut version, &status.version);
    [
        ("NUM FLOWS", grouped(status.num_flows)),
        ("MAX FLOWS", grouped(status.max_flows)),
        ("SEEN FLOWS", grouped(status.seen_flows)),
        (
            "FLOWS PER SECOND",
            rate(status).unwrap_or_else(|| "N/A".to_owned()),
        ),
        ("UPTIME", uptime::wire_words(status.uptime_ns)),
        ("NUM CONNECTED NODES", count(status.num_connected_nodes)),
        ("NUM UNAVAIL. NODES", count(status.num_unavailable_nodes)),
        ("VERSION", String::from_utf8_lossy(&version).into_owned()),
    ]
}

fn dict(out: &mut Vec<u8>, status: &ServerStatusResponse) {
    for (name, value) in fields(status) {
        append!(out, "{name:>19}: {value}\n");
    }
}

fn table(out: &mut Vec<u8>, status: &ServerStatusResponse) {
    let (names, values): (Vec<_>, Vec<_>) = fields(status).into_iter().unzip();
    let names = names.join("\t").replace("UNAVAIL.", "UNAVAILABLE");
    let rows = format!("{names}\n{}\n", values.join("\t"));
    tabs::align(rows.as_bytes(), out);
}

fn rate(status: &ServerStatusResponse) -> Option<String> {
    (status.flows_rate > 0.0).then(|| float(status.flows_rate))
}

/// Two digits after the point; infinity as gRPC's other programs write it.
fn float(number: f64) -> String {
    if number.is_infinite() {
        "+Inf".to_owned()
    } else {
        format!("{number:.2}")
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

//! `palomar list`: nodes and namespaces.

use anyhow::bail;
use flow_api::{
    json,
    observer::{GetNamespacesRequest, GetNodesRequest, Namespace, Node},
    relay::NodeState,
};
use tokio_util::sync::CancellationToken;

use super::{output::Args, uptime};
use crate::cli::Globals;
use crate::print::{Escape, append, tabs};
use crate::settings::Settings;
use crate::source::server::Server;

pub(crate) async fn nodes(
    globals: Globals<Args>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let ask = async |server: &Server| {
        let mut observer = server.observer();
        let call = async |request| observer.get_nodes(request).await;
        let mut nodes = server.unary(GetNodesRequest {}, call).await?.nodes;
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    };
    list(globals, shutdown, ask, node_table).await
}

pub(crate) async fn namespaces(
    globals: Globals<Args>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let ask = async |server: &Server| {
        let mut observer = server.observer();
        let call = async |request| observer.get_namespaces(request).await;
        let response = server.unary(GetNamespacesRequest {}, call).await?;
        Ok(response.namespaces)
    };
    list(globals, shutdown, ask, namespace_table).await
}

/// Shows what a server lists, unless a signal comes first. The table may be a wide one.
async fn list<T: json::Json>(
    globals: Globals<Args>,
    shutdown: CancellationToken,
    ask: impl AsyncFnOnce(&Server) -> anyhow::Result<Vec<T>>,
    table: fn(&mut Vec<u8>, &[T], bool),
) -> anyhow::Result<()> {
    let settings = Settings::new(globals.command.server, globals.config)?;
    let asking = async {
        let server = Server::connect_in_time(&settings).await?;
        ask(&server).await
    };
    let Some(listed) = shutdown.run_until_cancelled(asking).await else {
        return Ok(());
    };
    let listed = listed?;
    let mut out = Vec::new();
    match globals.command.output.as_deref().unwrap_or("table") {
        "json" => json_list(&mut out, &listed),
        "table" => table(&mut out, &listed, false),
        "wide" => table(&mut out, &listed, true),
        other => bail!("unknown output format: {other}"),
    }
    super::print_bytes(&out)
}

fn node_table(out: &mut Vec<u8>, nodes: &[Node], wide: bool) {
    let mut rows = b"NAME\tSTATUS\tAGE\tFLOWS/S\tCURRENT/MAX-FLOWS".to_vec();
    if wide {
        append!(rows, "\tVERSION\tADDRESS\tTLS");
    }
    append!(rows, "\n");
    for node in nodes {
        let uptime_ns = uptime::rounded_to_seconds(node.uptime_ns.cast_signed());
        let (age, rate) = if uptime_ns > 0 {
            let rate = node.seen_flows as f64 / uptime::seconds(uptime_ns);
            (uptime::words(uptime_ns), format!("{rate:.2}"))
        } else {
            ("N/A".to_owned(), "N/A".to_owned())
        };
        let escape = Escape::for_answers();
        escape.write(&mut rows, &node.name);
        append!(rows, "\t{}\t{age}\t{rate}\t", state(node.state));
        let (now, most) = (node.num_flows, node.max_flows);
        if most > 0 {
            let percent = now as f64 / most as f64 * 100.0;
            append!(rows, "{now}/{most} ({percent:6.2}%)");
        } else {
            append!(rows, "N/A");
        }
        if wide {
            append!(rows, "\t");
            let version = match node.version.as_str() {
                "" => "N/A",
                version => version,
            };
            escape.write(&mut rows, version);
            append!(rows, "\t");
            escape.write(&mut rows, &node.address);
            let tls = match &node.tls {
                None => "N/A",
                Some(tls) if tls.enabled => "Enabled",
                Some(_) => "Disabled",
            };
            append!(rows, "\t{tls}");
        }
        append!(rows, "\n");
    }
    tabs::align(&rows, out);
}

fn state(number: i32) -> &'static str {
    match NodeState::try_from(number) {
        Ok(NodeState::NodeConnected) => "Connected",
        Ok(NodeState::NodeError) => "Error",
        Ok(NodeState::NodeGone) => "Gone",
        Ok(NodeState::NodeUnavailable) => "Unavailable",
        Ok(NodeState::UnknownNodeState) | Err(_) => "Unknown",
    }
}

fn namespace_table(out: &mut Vec<u8>, namespaces: &[Namespace], wide: bool) {
    let heading = if wide {
        "NAMESPACE\tCLUSTER\n"
    } else {
        "NAMESPACE\n"
    };
    let mut rows = heading.as_bytes().to_vec();
    let escape = Escape::for_answers();
    for namespace in namespaces {
        escape.write(&mut rows, &namespace.namespace);
        if wide && !namespace.cluster.is_empty() {
            append!(rows, "\t");
            escape.write(&mut rows, &namespace.cluster);
        }
        append!(rows, "\n");
    }
    tabs::align(&rows, out);
}

/// A list of messages over many lines; `null` if there are none.
fn json_list<T: json::Json>(out: &mut Vec<u8>, messages: &[T]) {
    if messages.is_empty() {
        append!(out, "null\n");
        return;
    }
    append!(out, "[");
    for (index, message) in messages.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        append!(out, "{comma}\n  ");
        indent(out, &json::to_string(message), 1);
    }
    append!(out, "\n]\n");
}

/// Spreads one-line JSON over lines, two blanks for each level. Strings stay as they are.
fn indent(out: &mut Vec<u8>, text: &str, mut depth: usize) {
    let mut in_string = false;
    let mut escaped = false;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let line = |out: &mut Vec<u8>, depth: usize| {
            out.push(b'\n');
            out.resize(out.len() + 2 * depth, b' ');
        };
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                if bytes.next_if(|next| matches!(next, b'}' | b']')).is_some() {
                    // An empty object or list stays on its line; both closers are one past it.
                    out.push(byte + 2);
                } else {
                    depth += 1;
                    line(out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                in_string = true;
                out.push(byte);
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_changes_nothing_inside_strings() {
        let mut out = Vec::new();
        indent(&mut out, r#"{"a":"{\",:[","b":{},"c":[1,2]}"#, 0);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\n  \"a\": \"{\\\",:[\",\n  \"b\": {},\n  \"c\": [\n    1,\n    2\n  ]\n}"
        );
    }
}

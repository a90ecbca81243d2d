//! One connection: requests in, answers out.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::store::{End, Next, Store};

/// Resources by the paths under which they are.
const PATHS: [(&str, &str, &str); 8] = [
    ("/api/v1/namespaces", "namespaces", "Namespace"),
    ("/api/v1/nodes", "nodes", "Node"),
    ("/api/v1/pods", "pods", "Pod"),
    ("/api/v1/services", "services", "Service"),
    (
        "/apis/discovery.k8s.io/v1/endpointslices",
        "endpointslices",
        "EndpointSlice",
    ),
    (
        "/apis/cilium.io/v2/ciliumnodes",
        "ciliumnodes",
        "CiliumNode",
    ),
    (
        "/apis/cilium.io/v2/ciliumidentities",
        "ciliumidentities",
        "CiliumIdentity",
    ),
    (
        "/apis/cilium.io/v2/ciliumendpoints",
        "ciliumendpoints",
        "CiliumEndpoint",
    ),
];

/// What was asked for.
#[derive(Default)]
struct Query {
    /// Only what is in there, where the path names one.
    namespace: Option<String>,
    /// Only what has this label with this value. One of equality is all that anybody asks for.
    label: Option<(String, String)>,
    is_watch: bool,
    limit: Option<usize>,
    token: Option<String>,
    version: u64,
    has_bookmarks: bool,
    seconds: Option<u64>,
}

/// Answers requests until either side ends.
pub(super) fn serve(connection: TcpStream, store: &Store, life: u64) -> io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut out = connection;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || store.life() != life {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        // Headers, which nothing here depends on; requests have no bodies.
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
        }
        thread::sleep(store.current_settings().delay);
        answer(&target, store, life, &mut out)?;
    }
}

fn answer(target: &str, store: &Store, life: u64, out: &mut TcpStream) -> io::Result<()> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut query = Query::parse(query);
    let path = &match path.split_once("/namespaces/") {
        Some((above, rest)) if rest.contains('/') => {
            let (namespace, resource) = rest.split_once('/').unwrap_or_default();
            query.namespace = Some(namespace.to_owned());
            format!("{above}/{resource}")
        }
        _ => path.to_owned(),
    };
    let settings = store.current_settings();
    let known = PATHS.iter().find(|(known, ..)| *known == path);
    let known =
        known.filter(|(_, resource, _)| settings.has_cilium || !resource.starts_with("cilium"));
    let Some((_, resource, kind)) = known else {
        // Not even the resource is known: no words of the API.
        return respond(out, 404, "text/plain", "404 page not found\n");
    };
    if settings.forbidden.contains(*resource) {
        let message = format!(
            "{resource} is forbidden: User \"system:serviceaccount:palomar:palomar\" cannot list \
             resource \"{resource}\" at the cluster scope"
        );
        let status = status(403, "Forbidden", &message);
        return respond(out, 403, "application/json", &status.to_string());
    }
    if query.is_watch {
        return watch(resource, kind, &query, store, life, out);
    }
    match store.list(
        resource,
        query.limit.unwrap_or(usize::MAX),
        query.token.as_deref(),
    ) {
        Some(page) => {
            let group = path.strip_prefix("/apis/").map_or("v1", |rest| {
                rest.rsplit_once('/').map_or(rest, |(group, _)| group)
            });
            let items: Vec<_> = page
                .items
                .into_iter()
                .filter(|it| query.selects(it))
                .collect();
            let mut metadata = json!({"resourceVersion": page.version.to_string()});
            if let Some(next) = page.next {
                metadata["continue"] = next.into();
            }
            let list = json!({
                "kind": format!("{kind}List"), "apiVersion": group, "metadata": metadata,
                "items": items,
            });
            respond(out, 200, "application/json", &list.to_string())
        }
        None => respond(out, 410, "application/json", &expired().to_string()),
    }
}

fn watch(
    resource: &str,
    kind: &str,
    query: &Query,
    store: &Store,
    life: u64,
    out: &mut TcpStream,
) -> io::Result<()> {
    out.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    let error = |status: Value| json!({"type": "ERROR", "object": status}).to_string();
    let Some(standing) = store.watch(query.version, life) else {
        chunk(out, &(error(expired()) + "\n"))?;
        return out.write_all(b"0\r\n\r\n");
    };
    let until = Instant::now() + Duration::from_secs(query.seconds.unwrap_or(1800));
    let mut version = query.version;
    loop {
        match standing.next(resource, version, until) {
            Next::Lines(lines, heard) => {
                for line in lines.into_iter().filter(|line| query.selects_event(line)) {
                    if store.takes_garbled() {
                        chunk(out, "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":[}}\n")?;
                    } else {
                        chunk(out, &(line + "\n"))?;
                    }
                }
                version = heard.max(version);
            }
            Next::Bookmark(heard) if query.has_bookmarks => {
                let bookmark = json!({"type": "BOOKMARK", "object": {
                    "kind": kind, "apiVersion": "v1",
                    "metadata": {"resourceVersion": heard.to_string(), "creationTimestamp": null},
                }});
                chunk(out, &(bookmark.to_string() + "\n"))?;
            }
            Next::Bookmark(_) => {}
            Next::End(End::Ordered) => return out.write_all(b"0\r\n\r\n"),
            Next::End(End::Expired) => {
                chunk(out, &(error(expired()) + "\n"))?;
                return out.write_all(b"0\r\n\r\n");
            }
            Next::End(End::Broken) => {
                chunk(out, "{\"type\":\"MODIFIED\",\"object\":{\"metad")?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Next::HangUp => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl Query {
    fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = unescaped(value);
            match name {
                "watch" => query.is_watch = value == "true",
                "limit" => query.limit = value.parse().ok().filter(|limit| *limit > 0),
                "continue" => query.token = Some(value),
                "resourceVersion" => query.version = value.parse().unwrap_or(0),
                "allowWatchBookmarks" => query.has_bookmarks = value == "true",
                "labelSelector" => {
                    query.label = value
                        .split_once('=')
                        .map(|(label, value)| (label.to_owned(), value.to_owned()));
                }
                "timeoutSeconds" => query.seconds = value.parse().ok(),
                _ => {}
            }
        }
        query
    }

    /// Whether this object was asked for.
    fn selects(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let namespace = self.namespace.as_ref();
        let label = self.label.as_ref();
        namespace.is_none_or(|it| metadata["namespace"] == **it)
            && label.is_none_or(|(label, value)| metadata["labels"][label] == **value)
    }

    /// The same of an event, as it goes to a watch.
    fn selects_event(&self, line: &str) -> bool {
        let is_narrow = self.namespace.is_some() || self.label.is_some();
        !is_narrow
            || serde_json::from_str(line).is_ok_and(|event: Value| self.selects(&event["object"]))
    }
}

fn unescaped(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn expired() -> Value {
    status(
        410,
        "Expired",
        "The resourceVersion for the provided watch is too old.",
    )
}

fn respond(out: &mut TcpStream, code: u16, kind: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {code} Status\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    out.write_all((head + body).as_bytes())
}

fn chunk(out: &mut TcpStream, text: &str) -> io::Result<()> {
    out.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

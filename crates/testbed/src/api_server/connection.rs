//! One connection: requests in, answers out.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::forward::{self, Upgrade};
use super::query::Query;
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

/// What a path leads to.
struct Resource {
    /// As in `services`, with what is below one behind a slash: `pods/portforward`.
    name: String,
    kind: &'static str,
    /// The group and its version, as in `discovery.k8s.io/v1`.
    group: String,
    namespace: Option<String>,
    /// One of them.
    object: Option<String>,
}

impl Resource {
    fn of(path: &str) -> Option<Self> {
        let (namespace, path) = match path.split_once("/namespaces/") {
            Some((above, rest)) if rest.contains('/') => {
                let (namespace, resource) = rest.split_once('/').unwrap_or_default();
                (Some(namespace.to_owned()), format!("{above}/{resource}"))
            }
            _ => (None, path.to_owned()),
        };
        let (known, resource, kind) = PATHS.iter().find(|(known, ..)| {
            let below = path.strip_prefix(known);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })?;
        let mut below = path[known.len()..].split('/').skip(1).map(str::to_owned);
        let object = below.next();
        let name = match below.next() {
            Some(part) => format!("{resource}/{part}"),
            None => (*resource).to_owned(),
        };
        let group = known.strip_prefix("/apis/").map_or("v1", |rest| {
            rest.rsplit_once('/').map_or(rest, |(group, _)| group)
        });
        Some(Self {
            name,
            kind,
            group: group.to_owned(),
            namespace,
            object,
        })
    }

    /// The answer to those who may not.
    fn forbidden(&self, verb: &str) -> Value {
        let place = match &self.namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let (name, group) = (&self.name, self.group.rsplit_once('/'));
        let group = group.map_or("", |(group, _)| group);
        let object = match &self.object {
            Some(object) => format!("{name} \"{object}\" is forbidden"),
            None => format!("{name} is forbidden"),
        };
        let message = format!(
            "{object}: User \"system:serviceaccount:palomar:palomar\" cannot {verb} resource \
             \"{name}\" in API group \"{group}\" {place}"
        );
        status(403, "Forbidden", &message)
    }
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
        store.count_request(&target);
        // Of the headers only those of a WebSocket count; requests have no bodies.
        let mut upgrade = Upgrade::default();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            upgrade.header(&line);
        }
        thread::sleep(store.current_settings().delay);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let resource = Resource::of(path);
        match resource {
            Some(resource) if resource.name == "pods/portforward" => {
                return forward(&resource, &Query::parse(query), &upgrade, store, life, out);
            }
            resource => answer(
                resource.as_ref(),
                Query::parse(query),
                store,
                life,
                &mut out,
            )?,
        }
    }
}

/// Passes a connection on to where a port of a pod leads.
fn forward(
    resource: &Resource,
    query: &Query,
    upgrade: &Upgrade,
    store: &Store,
    life: u64,
    mut out: TcpStream,
) -> io::Result<()> {
    let namespace = resource.namespace.as_deref().unwrap_or_default();
    let pod = resource.object.as_deref().unwrap_or_default();
    let refusal = if store.current_settings().forbidden.contains(&resource.name) {
        resource.forbidden("create")
    } else if store.get("pods", namespace, pod).is_none() {
        status(404, "NotFound", &format!("pods \"{pod}\" not found"))
    } else {
        match forward::accept(upgrade, &query.ports) {
            Ok(head) => {
                out.write_all(head.as_bytes())?;
                let key = (namespace.to_owned(), pod.to_owned());
                return forward::serve(out, store, life, &key, query.ports[0]);
            }
            Err(message) => status(400, "BadRequest", message),
        }
    };
    let code = refusal["code"].as_u64().unwrap_or_default();
    let code = u16::try_from(code).unwrap_or_default();
    respond(&mut out, code, "application/json", &refusal.to_string())
}

fn answer(
    asked: Option<&Resource>,
    mut query: Query,
    store: &Store,
    life: u64,
    out: &mut TcpStream,
) -> io::Result<()> {
    let settings = store.current_settings();
    let asked = asked.filter(|asked| settings.has_cilium || !asked.name.starts_with("cilium"));
    let Some(asked) = asked else {
        // Not even the resource is known: no words of the API.
        return respond(out, 404, "text/plain", "404 page not found\n");
    };
    query.namespace.clone_from(&asked.namespace);
    let (resource, kind) = (asked.name.as_str(), asked.kind);
    if settings.forbidden.contains(resource) {
        let verb = if asked.object.is_some() {
            "get"
        } else {
            "list"
        };
        let status = asked.forbidden(verb);
        return respond(out, 403, "application/json", &status.to_string());
    }
    if let Some(name) = &asked.object {
        let namespace = asked.namespace.as_deref().unwrap_or_default();
        return match store.get(resource, namespace, name) {
            Some(object) => respond(out, 200, "application/json", &object.to_string()),
            None => {
                let message = format!("{resource} \"{name}\" not found");
                let status = status(404, "NotFound", &message);
                respond(out, 404, "application/json", &status.to_string())
            }
        };
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
                "kind": format!("{kind}List"), "apiVersion": asked.group, "metadata": metadata,
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

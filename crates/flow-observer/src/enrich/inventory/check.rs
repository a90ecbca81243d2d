//! What each element says by itself may be right, and still not go together with another: names,
//! addresses and numbers belong to one only.

use std::{collections::HashMap, fmt::Display, hash::Hash};

use serde_saphyr::Spanned;

use super::parse::Written;
use crate::yaml::Mistake;

/// The first thing that two elements claim.
pub(super) fn all(written: &Written) -> Result<(), Mistake> {
    let mut names = Claims::new("node");
    for node in &written.nodes {
        names.claim(node, &node.value.name, &node.value.name)?;
    }
    let mut ips = Claims::new("address");
    let mut ids = Claims::new("id");
    for endpoint in &written.endpoints {
        for ip in &endpoint.value.ips {
            ips.claim(endpoint, ip, ip)?;
        }
        if let Some(id) = endpoint.value.id {
            let on_node = (endpoint.value.node.as_deref().unwrap_or_default(), id);
            ids.claim(endpoint, on_node, id)?;
        }
    }
    let mut prefixes = Claims::new("range");
    for prefix in &written.prefixes {
        prefixes.claim(prefix, prefix.value.cidr, prefix.value.cidr)?;
    }
    let mut services = Claims::new("service");
    let mut frontends = Claims::new("frontend");
    for service in &written.services {
        let name = (&service.value.namespace, &service.value.name);
        services.claim(service, name, format_args!("{}/{}", name.0, name.1))?;
        for port in &service.value.frontends {
            frontends.claim(service, port, format_args!("{}:{}", port.ip, port.port))?;
        }
    }
    Ok(())
}

/// Who has what already, by line.
struct Claims<K> {
    what: &'static str,
    lines: HashMap<K, u64>,
}

impl<K: Eq + Hash> Claims<K> {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            lines: HashMap::new(),
        }
    }

    fn claim<T>(
        &mut self,
        element: &Spanned<T>,
        key: K,
        shown: impl Display,
    ) -> Result<(), Mistake> {
        let line = element.referenced.line();
        match self.lines.insert(key, line) {
            None => Ok(()),
            Some(first) => Err(Mistake {
                line,
                message: format!("{} {shown} is taken by line {first} already", self.what),
            }),
        }
    }
}

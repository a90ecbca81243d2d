//! What a request asks for behind its path.

use serde_json::Value;

/// What was asked for.
#[derive(Default)]
pub(super) struct Query {
    /// Only what is in there, where the path names one.
    pub(super) namespace: Option<String>,
    /// Only what has each of these labels, with one of its values.
    labels: Vec<(String, Vec<String>)>,
    pub(super) is_watch: bool,
    pub(super) limit: Option<usize>,
    pub(super) token: Option<String>,
    pub(super) version: u64,
    pub(super) has_bookmarks: bool,
    pub(super) seconds: Option<u64>,
    /// Ports to forward.
    pub(super) ports: Vec<u16>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = unescaped(value);
            match name {
                "watch" => query.is_watch = value == "true",
                "limit" => query.limit = value.parse().ok().filter(|limit| *limit > 0),
                "continue" => query.token = Some(value),
                "resourceVersion" => query.version = value.parse().unwrap_or(0),
                "allowWatchBookmarks" => query.has_bookmarks = value == "true",
                "labelSelector" => query.labels = labels(&value),
                "ports" => query.ports = value.split(',').flat_map(str::parse).collect(),
                "timeoutSeconds" => query.seconds = value.parse().ok(),
                _ => {}
            }
        }
        query
    }

    /// Whether this object was asked for.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let namespace = self.namespace.as_ref();
        let has = |(label, values): &(String, Vec<String>)| {
            let value = &metadata["labels"][label];
            values.iter().any(|it| value == it.as_str())
        };
        namespace.is_none_or(|it| metadata["namespace"] == **it) && self.labels.iter().all(has)
    }

    /// The same of an event, as it goes to a watch.
    pub(super) fn selects_event(&self, line: &str) -> bool {
        let is_narrow = self.namespace.is_some() || !self.labels.is_empty();
        !is_narrow
            || serde_json::from_str(line).is_ok_and(|event: Value| self.selects(&event["object"]))
    }
}

/// A selector: `label=value` and `label in (one,other)`, with commas between. Nobody asks for more.
fn labels(selector: &str) -> Vec<(String, Vec<String>)> {
    let mut labels: Vec<(String, Vec<String>)> = Vec::new();
    for part in selector.split(',') {
        let part = part.trim();
        if let Some((label, value)) = part.split_once(" in (") {
            let value = value.trim_end_matches(')');
            labels.push((label.trim().to_owned(), vec![value.to_owned()]));
        } else if let Some((label, value)) = part.split_once('=') {
            let value = value.trim_start_matches('=');
            labels.push((label.to_owned(), vec![value.to_owned()]));
        } else if let Some((_, values)) = labels.last_mut() {
            values.push(part.trim_end_matches(')').to_owned());
        }
    }
    labels
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_one_value_or_one_of_several() {
        let owned = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(
            labels("app=relay,tier in (a,b),x==y"),
            [
                ("app".to_owned(), owned(&["relay"])),
                ("tier".to_owned(), owned(&["a", "b"])),
                ("x".to_owned(), owned(&["y"])),
            ]
        );
    }
}

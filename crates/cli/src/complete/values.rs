//! Values that flags take: what shells offer, and what a mistyped one may have meant.

use std::borrow::Cow;

use flow_api::FILE_DESCRIPTOR_SET;
use prost_types::{
    FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use super::live::Live;
use crate::cli::Topic;
use crate::config::keys::{Key, Kind};
use crate::observe::mask;
use crate::words;

/// A word that may stand at the cursor, and what it means, if that needs saying.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Offer {
    /// The word.
    pub(crate) word: Cow<'static, str>,
    /// What it means.
    pub(crate) about: Cow<'static, str>,
}

impl Offer {
    pub(crate) fn new(
        word: impl Into<Cow<'static, str>>,
        about: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            word: word.into(),
            about: about.into(),
        }
    }
}

/// Where the values of a flag come from.
#[derive(Debug)]
pub(crate) enum Values {
    /// These words.
    Words(Vec<Offer>),
    /// These words with commas between them.
    List(Vec<Offer>),
    /// Beginnings, after which the user goes on.
    Beginnings(Vec<Offer>),
    /// The server knows.
    Live(Live),
    /// A file.
    File,
    /// Only the user knows.
    Free,
}

/// What a flag of a command takes.
pub(crate) fn of(topic: &Topic, flag: &str) -> Values {
    let entry = topic
        .groups
        .iter()
        .flat_map(|group| &group.entries)
        .find(|entry| entry.long == flag);
    if let Some(entry) = entry.filter(|entry| !entry.values.is_empty()) {
        let offers = entry
            .values
            .iter()
            .map(|value| Offer::new(value.clone(), ""));
        return Values::Words(offers.collect());
    }
    match by_name(topic.path, flag) {
        Values::Free => match entry.and_then(|entry| entry.value.as_deref()) {
            Some("FILE" | "FILES" | "DIR" | "DIRECTORY" | "PATH") => Values::File,
            _ => Values::Free,
        },
        values => values,
    }
}

/// The words that a flag takes, where they are known without asking anybody.
pub(crate) fn words(path: &str, flag: &str) -> Option<Vec<String>> {
    match by_name(path, flag) {
        Values::Words(offers) | Values::List(offers) => Some(
            offers
                .into_iter()
                .map(|offer| offer.word.into_owned())
                .collect(),
        ),
        _ => None,
    }
}

fn by_name(path: &str, flag: &str) -> Values {
    // What holds for either end holds for one.
    let end = flag
        .strip_prefix("from-")
        .or_else(|| flag.strip_prefix("to-"))
        .unwrap_or(flag);
    match end {
        "aggregation" => named(&["none", "low", "medium", "maximum"]),
        "cluster" => Values::Live(Live::Clusters),
        "color" => named(&["auto", "always", "never"]),
        "drop-reason-desc" => Values::Words(enum_words("flow", "DropReason")),
        "field-mask" => {
            let fields = flow_fields();
            Values::List(
                fields
                    .into_iter()
                    .map(|field| Offer::new(field, ""))
                    .collect(),
            )
        }
        "http-method" => named(&[
            "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
        ]),
        "identity" => Values::Words(
            words::RESERVED_IDENTITIES
                .iter()
                .map(|(number, name)| Offer::new(*name, format!("identity {number}")))
                .collect(),
        ),
        "ip-version" => named(&["v4", "v6", "none"]),
        "kube-context" => Values::Live(Live::Contexts),
        "kube-namespace" => named(&["kube-system", "cilium"]),
        "label" => Values::Words(
            words::RESERVED_IDENTITIES
                .iter()
                .map(|(_, name)| Offer::new(format!("reserved:{name}"), ""))
                .collect(),
        ),
        "namespace" => Values::Live(Live::Namespaces),
        "node-name" => Values::Live(Live::Nodes),
        "output" => named(formats(path)),
        "pod" | "service" => Values::Live(Live::NamespacePrefixes),
        "protocol" => named(&[
            "tcp", "udp", "icmp", "icmpv4", "icmpv6", "sctp", "vrrp", "igmp", "dns", "http",
            "kafka",
        ]),
        "server" => Values::Live(Live::Servers),
        "since" | "until" => Values::Words(vec![
            Offer::new("1m", "a minute ago"),
            Offer::new("10m", "ten minutes ago"),
            Offer::new("1h", "an hour ago"),
            Offer::new("24h", "a day ago"),
        ]),
        "source" => Values::Beginnings(vec![
            Offer::new("probes", "this kernel"),
            Offer::new("cilium", "the monitor socket of Cilium's agent"),
            Offer::new("cilium-map:", "its event map"),
            Offer::new("pcap:", "a capture"),
            Offer::new("replay:", "flows as JSON"),
        ]),
        "tcp-flags" => Values::List(
            ["syn", "ack", "fin", "rst", "psh", "urg", "ece", "cwr", "ns"]
                .map(|name| Offer::new(name, ""))
                .to_vec(),
        ),
        "time-format" => named(&[
            "StampMilli",
            "YearMonthDay",
            "YearMonthDayHour",
            "YearMonthDayHourMinute",
            "RFC3339",
            "RFC3339Milli",
            "RFC3339Micro",
            "RFC3339Nano",
            "RFC1123Z",
        ]),
        "traffic-direction" => named(&["ingress", "egress"]),
        "type" => Values::Words(
            words::event_type_names()
                .into_iter()
                .map(|name| Offer::new(name, ""))
                .collect(),
        ),
        "verdict" => Values::Words(enum_words("flow", "Verdict")),
        "workload" => Values::Beginnings(
            [
                "Deployment/",
                "DaemonSet/",
                "StatefulSet/",
                "ReplicaSet/",
                "Job/",
                "CronJob/",
            ]
            .map(|kind| Offer::new(kind, ""))
            .to_vec(),
        ),
        _ => Values::Free,
    }
}

/// The values of a setting.
pub(crate) fn of_key(key: &Key) -> Values {
    match (key.name, key.kind) {
        ("config" | "kubeconfig" | "tls-client-cert-file" | "tls-client-key-file", _)
        | (_, Kind::List) => Values::File,
        (_, Kind::Switch) => named(&["true", "false"]),
        (_, Kind::Duration) => named(&["1s", "5s", "12s", "30s"]),
        (name, _) => by_name("", name),
    }
}

/// The formats that a command prints.
fn formats(path: &str) -> &'static [&'static str] {
    if path.contains(" list") {
        &["table", "wide", "json"]
    } else if path.contains(" status") {
        &["compact", "dict", "table", "json"]
    } else if path.contains(" doctor") || path.contains(" metrics") {
        &["table", "json"]
    } else {
        &["compact", "dict", "table", "tab", "json", "jsonpb"]
    }
}

fn named(words: &[&'static str]) -> Values {
    Values::Words(words.iter().map(|word| Offer::new(*word, "")).collect())
}

/// The values of an enumeration of the API, without the one that stands for none.
fn enum_words(package: &str, name: &str) -> Vec<Offer> {
    let descriptors = descriptors();
    let values = descriptors
        .file
        .iter()
        .filter(|file| file.package() == package)
        .flat_map(|file| &file.enum_type)
        .filter(|kind| kind.name() == name)
        .flat_map(|kind| &kind.value);
    values
        .filter(|value| value.number() != 0)
        .map(|value| Offer::new(value.name().to_owned(), ""))
        .collect()
}

/// The fields of a flow as masks name them, three levels deep: down to the ports.
pub(crate) fn flow_fields() -> Vec<String> {
    let descriptors = descriptors();
    let mut fields = Vec::new();
    add_fields(&descriptors, ".flow.Flow", "", 3, &mut fields);
    fields
}

fn add_fields(
    descriptors: &FileDescriptorSet,
    message: &str,
    prefix: &str,
    levels: u8,
    fields: &mut Vec<String>,
) {
    let Some(message) = mask::message(descriptors, message) else {
        return;
    };
    for field in &message.field {
        let path = format!("{prefix}{}", field.name());
        let is_message = field.r#type() == Type::Message && field.label() != Label::Repeated;
        let is_ours = field.type_name().starts_with(".flow.");
        fields.push(path.clone());
        if is_message && is_ours && levels > 1 {
            let prefix = format!("{path}.");
            add_fields(descriptors, field.type_name(), &prefix, levels - 1, fields);
        }
    }
}

fn descriptors() -> FileDescriptorSet {
    // Our own descriptors are well formed.
    prost::Message::decode(FILE_DESCRIPTOR_SET).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enumerations_are_those_of_the_api() {
        let verdicts = words("palomar observe", "verdict").unwrap();
        assert!(verdicts.contains(&"DROPPED".to_owned()), "{verdicts:?}");
        assert!(!verdicts.contains(&"VERDICT_UNKNOWN".to_owned()));
        let reasons = words("palomar observe", "drop-reason-desc").unwrap();
        assert!(reasons.len() > 60, "{reasons:?}");
    }

    #[test]
    fn each_word_that_is_offered_is_taken() {
        use crate::cli::Command;
        let mut line = vec!["observe".to_owned()];
        let command = Command::find(&mut line).unwrap();
        for group in command.topic().groups {
            for entry in group.entries.iter().filter(|entry| entry.value.is_some()) {
                for word in words("palomar observe", &entry.long).into_iter().flatten() {
                    let line = [format!("--{}={word}", entry.long)];
                    let parsed = command.parse::<crate::observe::args::Args>(&line);
                    assert!(parsed.is_ok(), "{line:?}: {parsed:?}");
                }
            }
        }
    }

    #[test]
    fn fields_can_be_asked_for() {
        let fields = flow_fields();
        assert!(
            fields.contains(&"l4.TCP.destination_port".to_owned()),
            "{fields:?}"
        );
        assert!(crate::observe::mask::mask(fields).is_ok());
    }
}

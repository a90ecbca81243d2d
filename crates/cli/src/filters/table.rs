//! The filter flags, each with what it does. The only place that lists them.

use super::fields::{self, SetField};
use crate::flags::{Flag, SWITCH, Section, Takes};

/// What a flag does to a list of filters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    /// Turns the next filter flag around.
    Not,
    /// Adds its value to a field.
    Field(Reach, SetField),
    /// Adds a namespace.
    Namespace(Reach),
    /// Adds the namespace that stands for all.
    AnyNamespace(Reach),
}

/// Which end of a flow a filter looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// The source or the destination.
    Either,
    /// The destination.
    Destination,
    /// The flow as a whole.
    Flow,
    /// The source.
    Source,
}

/// The flags as a part of a command line.
pub(crate) const SECTION: Section = Section {
    heading: "Filters Flags",
    flags: &FLAGS,
};

/// What a flag does, by its name.
pub(super) fn effect(name: &str) -> Option<&'static Effect> {
    ROWS.iter()
        .find(|(flag, _)| flag.long == name)
        .map(|(_, effect)| effect)
}

const FLAGS: [Flag; ROWS.len()] = {
    let mut flags = [ROWS[0].0; ROWS.len()];
    let mut index = 0;
    while index < ROWS.len() {
        flags[index] = ROWS[index].0;
        index += 1;
    }
    flags
};

const fn either(
    long: &'static str,
    value: &'static str,
    set: SetField,
    help: &'static str,
) -> (Flag, Effect) {
    (
        Flag::value(long, value, help),
        Effect::Field(Reach::Either, set),
    )
}

const fn source(
    long: &'static str,
    value: &'static str,
    set: SetField,
    help: &'static str,
) -> (Flag, Effect) {
    (
        Flag::value(long, value, help),
        Effect::Field(Reach::Source, set),
    )
}

const fn destination(
    long: &'static str,
    value: &'static str,
    set: SetField,
    help: &'static str,
) -> (Flag, Effect) {
    (
        Flag::value(long, value, help),
        Effect::Field(Reach::Destination, set),
    )
}

const fn flow(
    long: &'static str,
    value: &'static str,
    set: SetField,
    help: &'static str,
) -> (Flag, Effect) {
    (
        Flag::value(long, value, help),
        Effect::Field(Reach::Flow, set),
    )
}

const fn switch(
    long: &'static str,
    takes: Takes,
    effect: Effect,
    help: &'static str,
) -> (Flag, Effect) {
    (
        Flag {
            long,
            short: None,
            takes,
            help,
        },
        effect,
    )
}

const fn namespace(long: &'static str, reach: Reach, help: &'static str) -> (Flag, Effect) {
    (Flag::value(long, "NS", help), Effect::Namespace(reach))
}

const fn short(letter: char, row: (Flag, Effect)) -> (Flag, Effect) {
    (row.0.short(letter), row.1)
}

/// A list of rows. In braces, so that each row stays together when the code is formatted.
macro_rules! rows {
    ($($row:expr),* $(,)?) => { &[$($row),*] };
}

const ROWS: &[(Flag, Effect)] = rows! {
    switch("not", SWITCH, Effect::Not, "Hide what the next filter matches: --not --port 53"),
    // Kubernetes names.
    either("pod", "[NS/]PREFIX", fields::pod,
        "Pods whose name starts so, at either end; without namespace in \"default\", with \"/\" \
         in any"),
    source("from-pod", "[NS/]PREFIX", fields::pod, "The same for the source"),
    destination("to-pod", "[NS/]PREFIX", fields::pod, "The same for the destination"),
    short('n', namespace("namespace", Reach::Either,
        "Flows from or to this namespace; completes --pod and --service")),
    namespace("from-namespace", Reach::Source, "Flows from this namespace"),
    namespace("to-namespace", Reach::Destination, "Flows to this namespace"),
    short('A', switch("all-namespaces", SWITCH, Effect::AnyNamespace(Reach::Either),
        "Flows from or to any namespace; --pod then looks in all of them")),
    switch("from-all-namespaces", SWITCH, Effect::AnyNamespace(Reach::Source),
        "Flows from any namespace"),
    switch("to-all-namespaces", SWITCH, Effect::AnyNamespace(Reach::Destination),
        "Flows to any namespace"),
    either("service", "[NS/]PREFIX", fields::service,
        "Services whose name starts so, found by their cluster address, at either end"),
    source("from-service", "[NS/]PREFIX", fields::service, "The same for the source"),
    destination("to-service", "[NS/]PREFIX", fields::service, "The same for the destination"),
    either("workload", "[KIND/]NAME", fields::workload,
        "What owns the pod, as in Deployment/web, or a kind alone as in Job/"),
    source("from-workload", "[KIND/]NAME", fields::workload, "The same for the source"),
    destination("to-workload", "[KIND/]NAME", fields::workload, "The same for the destination"),
    short('l', either("label", "SELECTOR", fields::label,
        "Endpoints with these labels: app=web, \"tier in (a,b)\", !app, reserved:world")),
    source("from-label", "SELECTOR", fields::label, "The same for the source"),
    destination("to-label", "SELECTOR", fields::label, "The same for the destination"),
    either("cluster", "NAME", fields::cluster, "Endpoints of this cluster, by its exact name"),
    source("from-cluster", "NAME", fields::cluster, "The same for the source"),
    destination("to-cluster", "NAME", fields::cluster, "The same for the destination"),
    // Addresses and names.
    either("ip", "ADDRESS", fields::ip,
        "An address such as 10.0.0.7, or a range such as 10.0.0.0/8 or fd00::/8"),
    source("from-ip", "ADDRESS", fields::ip, "The same for the source"),
    destination("to-ip", "ADDRESS", fields::ip, "The same for the destination"),
    flow("snat-ip", "ADDRESS", fields::snat_ip, "The address that the source was translated to"),
    either("fqdn", "PATTERN", fields::fqdn,
        "A DNS name; \"*\" stands for any letters, dots too: \"*.example.com\""),
    source("from-fqdn", "PATTERN", fields::fqdn, "The same for the source"),
    destination("to-fqdn", "PATTERN", fields::fqdn, "The same for the destination"),
    either("port", "PORT", fields::port, "A TCP, UDP or SCTP port by number"),
    source("from-port", "PORT", fields::port, "The same for the source"),
    destination("to-port", "PORT", fields::port, "The same for the destination"),
    either("identity", "ID", fields::identity,
        "A security identity: a number, or a name such as host or world"),
    source("from-identity", "ID", fields::identity, "The same for the source"),
    destination("to-identity", "ID", fields::identity, "The same for the destination"),
    // What happened, and where.
    flow("verdict", "VERDICT", fields::verdict,
        "FORWARDED, DROPPED, ERROR, AUDIT, REDIRECTED, TRACED or TRANSLATED"),
    flow("drop-reason-desc", "REASON", fields::drop_reason,
        "Drops for this reason, such as POLICY_DENIED or TTL_EXCEEDED"),
    short('t', flow("type", "TYPE[:SUBTYPE]", fields::event_type,
        "trace, drop, policy-verdict, capture, trace-sock or l7; trace has sub-types: \
         trace:to-endpoint, from-network, to-stack, from-host...")),
    flow("traffic-direction", "DIRECTION", fields::direction,
        "ingress or egress, as the endpoint sees it"),
    flow("interface", "NAME", fields::interface, "Seen at this network interface, such as eth0"),
    flow("node-name", "PATTERN", fields::node_name,
        "Seen by these nodes: \"worker-*\", \"prod/*\""),
    flow("node-label", "SELECTOR", fields::node_label, "Seen by nodes with these labels"),
    flow("uuid", "UUID", fields::uuid, "The one flow with this id"),
    flow("trace-id", "ID", fields::trace_id, "Requests of this distributed trace"),
    flow("ip-trace-id", "ID", fields::ip_trace_id,
        "Packets with this number in their trace option"),
    // Protocols.
    flow("protocol", "NAME", fields::protocol,
        "tcp, udp, icmp, icmpv4, icmpv6, sctp, vrrp, igmp, dns, http or kafka"),
    flow("tcp-flags", "FLAGS", fields::tcp_flags,
        "TCP packets with all of these flags: syn, or syn,ack"),
    flow("ip-version", "VERSION", fields::ip_version, "v4, v6, or none for what is not IP"),
    short('4', switch("ipv4", Takes::Optional("v4"), Effect::Field(Reach::Flow, fields::only_ipv4),
        "The same as --ip-version v4")),
    short('6', switch("ipv6", Takes::Optional("v6"), Effect::Field(Reach::Flow, fields::only_ipv6),
        "The same as --ip-version v6")),
    switch("encrypted", SWITCH, Effect::Field(Reach::Flow, fields::encrypted),
        "Packets that travelled encrypted"),
    switch("unencrypted", SWITCH, Effect::Field(Reach::Flow, fields::unencrypted),
        "Packets that did not"),
    flow("http-method", "METHOD", fields::http_method,
        "Requests with this method, in upper or lower case"),
    flow("http-path", "REGEX", fields::http_path, "Requests whose path matches: \"^/api/v[0-9]+\""),
    flow("http-url", "REGEX", fields::http_url, "Requests whose whole URL matches"),
    flow("http-status", "CODE", fields::http_status,
        "Responses with this code, or with codes that start so: 404, 5+"),
    flow("http-header", "NAME:VALUE", fields::http_header,
        "Requests and responses with this header"),
    flow("cel-expression", "EXPRESSION", fields::cel_expression,
        "An expression over _flow in the Common Expression Language"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_letter_is_listed_twice() {
        for (index, flag) in FLAGS.iter().enumerate() {
            for other in &FLAGS[index + 1..] {
                assert_ne!(flag.long, other.long);
                assert!(
                    flag.short.is_none() || flag.short != other.short,
                    "{other:?}"
                );
            }
        }
    }
}

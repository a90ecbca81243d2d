//! Requests and responses in words: the summary line, and names for numbers, as Hubble has them.

use super::access_log::{DnsRecord, GenericRecord, HttpRecord, KafkaRecord};

/// What stands for a password in a URL.
const REDACTED: &str = "HUBBLE_REDACTED";

/// One line about an HTTP request or response; `url` is the one that may be shown.
pub(super) fn http(kind: &str, record: &HttpRecord, url: &str, latency_ns: u64) -> String {
    let HttpRecord {
        code,
        method,
        protocol,
        ..
    } = record;
    match kind {
        "Request" => format!("{protocol} {method} {url}"),
        "Response" => format!(
            "{protocol} {code} {}ms ({method} {url})",
            latency_ns / 1_000_000
        ),
        _ => String::new(),
    }
}

/// One line about a DNS query or answer.
pub(super) fn dns(kind: &str, record: &DnsRecord) -> String {
    let types = dns_types(&record.question_types).join(",");
    let query = &record.query;
    match kind {
        "Request" => format!("DNS Query {query} {types}"),
        "Response" => {
            let source = match &*record.observation_source {
                "proxy" => "Proxy",
                _ => "Query",
            };
            format!(
                "DNS Answer {} TTL: {} ({source} {query} {types})",
                dns_answer(record),
                record.ttl
            )
        }
        _ => String::new(),
    }
}

fn dns_answer(record: &DnsRecord) -> String {
    if record.rcode != 0 {
        return format!("RCode: {}", response_code(record.rcode));
    }
    let mut parts = Vec::new();
    if !record.ips.is_empty() {
        let ips: Vec<String> = record.ips.iter().map(ToString::to_string).collect();
        parts.push(format!("{:?}", ips.join(",")));
    }
    if !record.cnames.is_empty() {
        parts.push(format!("CNAMEs: {:?}", record.cnames.join(",")));
    }
    parts.join(" ")
}

/// One line about a Kafka request or response.
pub(super) fn kafka(kind: &str, record: &KafkaRecord) -> String {
    let KafkaRecord {
        error_code,
        api_key,
        correlation_id,
        topic,
        ..
    } = record;
    let common = format!("{api_key} correlation id {correlation_id} topic '{topic}'");
    match kind {
        "Request" => format!("Kafka request {common}"),
        _ => format!("Kafka response {common} return code {error_code}"),
    }
}

/// One line about a request of any other protocol: its fields as Go prints a map.
pub(super) fn generic(record: &GenericRecord) -> String {
    let mut fields: Vec<String> = record
        .fields
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    fields.sort();
    format!("{} Fields: map[{}]", record.protocol, fields.join(" "))
}

/// A URL without the password that it may hold.
pub(super) fn without_password(url: &str) -> String {
    let redacted = || {
        let (before, rest) = url.split_once("//")?;
        // Anything else with `//` in it is a path.
        if !(before.is_empty() || before.ends_with(':')) {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let (user_info, host) = authority.rsplit_once('@')?;
        let (user, _) = user_info.split_once(':')?;
        Some(format!("{before}//{user}:{REDACTED}@{host}{after}"))
    };
    redacted().unwrap_or_else(|| url.to_owned())
}

/// The names of DNS record types; `Unknown` for those that Hubble has no name for.
pub(super) fn dns_types(types: &[u64]) -> Vec<String> {
    types
        .iter()
        .map(|&number| {
            let found = DNS_TYPES.iter().find(|(known, _)| *known == number);
            found.map_or("Unknown", |(_, name)| name).to_owned()
        })
        .collect()
}

const DNS_TYPES: &[(u64, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (35, "NAPTR"),
    (41, "OPT"),
    (46, "RRSIG"),
    (48, "DNSKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (256, "URI"),
];

/// The blank at the end of 2 is Hubble's.
fn response_code(code: i64) -> &'static str {
    match code {
        0 => "No Error",
        1 => "Format Error",
        2 => "Server Failure ",
        3 => "Non-Existent Domain",
        4 => "Not Implemented",
        5 => "Query Refused",
        6 => "Name Exists when it should not",
        7 => "RR Set Exists when it should not",
        8 => "RR Set that should exist does not",
        9 => "Server Not Authoritative for zone",
        10 => "Name not contained in zone",
        16 => "Bad OPT Version",
        17 => "Key not recognized",
        18 => "Signature out of time window",
        19 => "Bad TKEY Mode",
        20 => "Duplicate key name",
        21 => "Algorithm not supported",
        22 => "Bad Truncation",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_leaves_and_nothing_else_changes() {
        for (url, expected) in [
            ("http://u:p@h/x?y=z", "http://u:HUBBLE_REDACTED@h/x?y=z"),
            ("http://u:@h", "http://u:HUBBLE_REDACTED@h"),
            ("http://:p@h", "http://:HUBBLE_REDACTED@h"),
            ("//u:p:q@h:80/", "//u:HUBBLE_REDACTED@h:80/"),
            ("http://u:p@q@h/", "http://u:HUBBLE_REDACTED@h/"),
            ("http://u@h/a:b@c", "http://u@h/a:b@c"),
            ("http://h:80/a//b:c@d", "http://h:80/a//b:c@d"),
            ("/path//u:p@h", "/path//u:p@h"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(without_password(url), expected, "{url}");
        }
    }

    #[test]
    fn an_answer_is_its_code_or_its_addresses_and_names() {
        let answer = |rcode, ips: &[&str], cnames: &[&str]| {
            dns_answer(&DnsRecord {
                rcode,
                ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
                cnames: cnames.iter().map(|&name| name.to_owned()).collect(),
                ..DnsRecord::default()
            })
        };
        assert_eq!(answer(3, &[], &[]), "RCode: Non-Existent Domain");
        assert_eq!(answer(2, &["1.2.3.4"], &[]), "RCode: Server Failure ");
        assert_eq!(answer(99, &[], &[]), "RCode: Unknown");
        assert_eq!(answer(0, &["1.2.3.4", "::1"], &[]), r#""1.2.3.4,::1""#);
        assert_eq!(
            answer(0, &["1.2.3.4"], &["a.", "b."]),
            r#""1.2.3.4" CNAMEs: "a.,b.""#
        );
        assert_eq!(answer(0, &[], &[]), "");
    }

    #[test]
    fn record_types_without_a_name_are_unknown() {
        assert_eq!(dns_types(&[1, 28, 255]), ["A", "AAAA", "Unknown"]);
    }
}

//! Requests and responses in words: the summary line, and names for numbers, as Hubble has them.

use flow_api::flow::{self, L7FlowType, layer7::Record};

/// One line about a request or response; empty for what Hubble has no words for.
#[expect(deprecated, reason = "agents before 1.20 log Kafka")]
pub(crate) fn summary(layer7: &flow::Layer7) -> String {
    match &layer7.record {
        Some(Record::Http(record)) => http(layer7.r#type(), record, layer7.latency_ns),
        Some(Record::Dns(record)) => dns(layer7.r#type(), record),
        Some(Record::Kafka(record)) => kafka(layer7.r#type(), record),
        None => String::new(),
    }
}

fn http(kind: L7FlowType, record: &flow::Http, latency_ns: u64) -> String {
    let flow::Http {
        code,
        method,
        url,
        protocol,
        ..
    } = record;
    match kind {
        L7FlowType::Request => format!("{protocol} {method} {url}"),
        L7FlowType::Response => format!(
            "{protocol} {code} {}ms ({method} {url})",
            latency_ns / 1_000_000
        ),
        _ => String::new(),
    }
}

fn dns(kind: L7FlowType, record: &flow::Dns) -> String {
    let types = record.qtypes.join(",");
    let query = &record.query;
    match kind {
        L7FlowType::Request => format!("DNS Query {query} {types}"),
        L7FlowType::Response => {
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

fn dns_answer(record: &flow::Dns) -> String {
    if record.rcode != 0 {
        return format!("RCode: {}", response_code(record.rcode));
    }
    let mut parts = Vec::new();
    if !record.ips.is_empty() {
        parts.push(format!("{:?}", record.ips.join(",")));
    }
    if !record.cnames.is_empty() {
        parts.push(format!("CNAMEs: {:?}", record.cnames.join(",")));
    }
    parts.join(" ")
}

fn kafka(kind: L7FlowType, record: &flow::Kafka) -> String {
    let flow::Kafka {
        error_code,
        api_key,
        correlation_id,
        topic,
        ..
    } = record;
    let common = format!("{api_key} correlation id {correlation_id} topic '{topic}'");
    match kind {
        L7FlowType::Request => format!("Kafka request {common}"),
        _ => format!("Kafka response {common} return code {error_code}"),
    }
}

/// One line about a request of any other protocol: its fields as Go prints a map.
pub(crate) fn generic(protocol: &str, fields: &[(String, String)]) -> String {
    let mut fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    fields.sort();
    format!("{protocol} Fields: map[{}]", fields.join(" "))
}

/// The names of DNS record types; `Unknown` for those that Hubble has no name for.
pub(crate) fn dns_types(types: impl IntoIterator<Item = u64>) -> Vec<String> {
    types
        .into_iter()
        .map(|number| {
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
fn response_code(code: u32) -> &'static str {
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

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn an_answer_is_its_code_or_its_addresses_and_names() {
        let answer = |rcode, ips: &[&str], cnames: &[&str]| {
            dns_answer(&flow::Dns {
                rcode,
                ips: texts(ips),
                cnames: texts(cnames),
                ..flow::Dns::default()
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
    fn who_saw_an_answer_stands_before_its_question() {
        let line = |source: &str| {
            let record = flow::Dns {
                query: "a.example.".to_owned(),
                observation_source: source.to_owned(),
                qtypes: texts(&["A"]),
                ips: texts(&["1.2.3.4"]),
                ttl: 30,
                ..flow::Dns::default()
            };
            dns(L7FlowType::Response, &record)
        };
        for (source, word) in [("proxy", "Proxy"), ("passive", "Query")] {
            assert_eq!(
                line(source),
                format!("DNS Answer \"1.2.3.4\" TTL: 30 ({word} a.example. A)")
            );
        }
    }

    #[test]
    fn record_types_without_a_name_are_unknown() {
        assert_eq!(dns_types([1, 28, 255]), ["A", "AAAA", "Unknown"]);
    }
}

//! From the proxies' access log to flows.
//!
//! In: one record, and the requests before it. Out: the flow, but for what only the node knows:
//! time, identifier, node and emitter, pods and workloads.

use flow_api::flow::{self, Flow, TrafficDirection, Verdict};
use prost_types::Timestamp;

use super::{
    CiliumError, TYPE_ACCESS_LOG,
    access_log::{AccessLog, DnsRecord, HttpRecord, KafkaRecord, LoggedEndpoint},
    requests::Requests,
};
use crate::layer7::{self, Redaction};

/// The label that names the cluster of an endpoint.
const CLUSTER_LABEL: &str = "k8s:io.cilium.k8s.policy.cluster=";

/// Makes a flow of an access-log record.
///
/// # Errors
/// When the record's time cannot be read, as in Hubble.
#[expect(deprecated, reason = "clients still read the deprecated fields")]
pub(crate) fn flow(
    log: &AccessLog,
    requests: &mut Requests,
    redaction: &Redaction,
) -> Result<Flow, CiliumError> {
    let time_ns = time_ns(&log.timestamp).ok_or(CiliumError::Timestamp)?;
    let correlated = requests.correlate(log, time_ns);
    let is_reply = log.kind == "Response";
    let layer7 = flow::Layer7 {
        r#type: flow_type(&log.kind).into(),
        latency_ns: correlated.latency_ns,
        record: record(log, redaction),
    };
    let summary = match &log.generic {
        Some(generic) if layer7.record.is_none() => {
            layer7::generic(&generic.protocol, &generic.fields)
        }
        _ => layer7::summary(&layer7),
    };
    Ok(Flow {
        verdict: verdict(&log.verdict).into(),
        ip: ip(log),
        l4: layer4(log),
        source: Some(endpoint(&log.source)),
        destination: Some(endpoint(&log.destination)),
        r#type: flow::FlowType::L7.into(),
        l7: Some(layer7),
        reply: is_reply,
        is_reply: Some(is_reply),
        event_type: Some(flow::CiliumEventType {
            r#type: TYPE_ACCESS_LOG.into(),
            sub_type: 0,
        }),
        traffic_direction: direction(&log.observation_point).into(),
        trace_context: correlated.trace_id.as_deref().map(layer7::trace_context),
        summary,
        ..Flow::default()
    })
}

/// Nanoseconds since 1970 of an RFC 3339 text.
fn time_ns(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    time.seconds
        .checked_mul(1_000_000_000)?
        .checked_add(i64::from(time.nanos))
}

fn verdict(word: &str) -> Verdict {
    match word {
        "Denied" => Verdict::Dropped,
        "Forwarded" => Verdict::Forwarded,
        "Redirected" => Verdict::Redirected,
        "Error" => Verdict::Error,
        _ => Verdict::Unknown,
    }
}

fn direction(word: &str) -> TrafficDirection {
    match word {
        "Ingress" => TrafficDirection::Ingress,
        "Egress" => TrafficDirection::Egress,
        _ => TrafficDirection::Unknown,
    }
}

fn flow_type(word: &str) -> flow::L7FlowType {
    match word {
        "Request" => flow::L7FlowType::Request,
        "Response" => flow::L7FlowType::Response,
        "Sample" => flow::L7FlowType::Sample,
        _ => flow::L7FlowType::UnknownL7Type,
    }
}

fn ip(log: &AccessLog) -> Option<flow::Ip> {
    let (source, destination, version) = match log.ip_version {
        0 => (
            &log.source.ipv4,
            &log.destination.ipv4,
            flow::IpVersion::IPv4,
        ),
        1 => (
            &log.source.ipv6,
            &log.destination.ipv6,
            flow::IpVersion::IPv6,
        ),
        _ => return None,
    };
    Some(flow::Ip {
        source: source.clone(),
        destination: destination.clone(),
        ip_version: version.into(),
        ..flow::Ip::default()
    })
}

fn layer4(log: &AccessLog) -> Option<flow::Layer4> {
    use flow::layer4::Protocol;
    let (source_port, destination_port) = (number(log.source.port), number(log.destination.port));
    let protocol = match log.transport {
        6 => Protocol::Tcp(flow::Tcp {
            source_port,
            destination_port,
            flags: None,
        }),
        17 => Protocol::Udp(flow::Udp {
            source_port,
            destination_port,
        }),
        132 => Protocol::Sctp(flow::Sctp {
            source_port,
            destination_port,
        }),
        _ => return None,
    };
    Some(flow::Layer4 {
        protocol: Some(protocol),
    })
}

fn endpoint(logged: &LoggedEndpoint) -> flow::Endpoint {
    let mut labels = logged.labels.clone();
    labels.sort();
    flow::Endpoint {
        id: number(logged.id),
        identity: number(logged.identity),
        cluster_name: labels
            .iter()
            .find_map(|label| label.strip_prefix(CLUSTER_LABEL))
            .unwrap_or_default()
            .to_owned(),
        labels,
        ..flow::Endpoint::default()
    }
}

/// Numbers of an endpoint have 32 bits or less; a longer one is none of them.
fn number(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[expect(deprecated, reason = "agents before 1.20 log Kafka")]
fn record(log: &AccessLog, redaction: &Redaction) -> Option<flow::layer7::Record> {
    use flow::layer7::Record;
    let is_request = log.kind == "Request";
    match log {
        AccessLog { dns: Some(it), .. } => Some(Record::Dns(dns(it, is_request))),
        AccessLog { http: Some(it), .. } => Some(Record::Http(http(it, redaction, is_request))),
        AccessLog {
            kafka: Some(it), ..
        } => Some(Record::Kafka(kafka(it, is_request))),
        _ => None,
    }
}

fn http(record: &HttpRecord, redaction: &Redaction, is_request: bool) -> flow::Http {
    let mut names: Vec<_> = record.headers.iter().collect();
    names.sort();
    flow::Http {
        code: if is_request {
            0
        } else {
            u32::try_from(record.code).unwrap_or(0)
        },
        method: record.method.clone(),
        url: redaction.url(&record.url),
        protocol: record.protocol.clone(),
        headers: names
            .into_iter()
            .flat_map(|(key, values)| {
                values.iter().map(|value| flow::HttpHeader {
                    key: key.clone(),
                    value: redaction.header(key, value).to_owned(),
                })
            })
            .collect(),
    }
}

fn dns(record: &DnsRecord, is_request: bool) -> flow::Dns {
    let question = flow::Dns {
        query: record.query.clone(),
        observation_source: record.observation_source.clone(),
        qtypes: layer7::dns_types(record.question_types.iter().copied()),
        ..flow::Dns::default()
    };
    if is_request {
        return question;
    }
    flow::Dns {
        ips: record.ips.iter().map(ToString::to_string).collect(),
        ttl: number(record.ttl),
        cnames: record.cnames.clone(),
        rcode: u32::try_from(record.rcode).unwrap_or(0),
        rrtypes: layer7::dns_types(record.answer_types.iter().copied()),
        ..question
    }
}

fn kafka(record: &KafkaRecord, is_request: bool) -> flow::Kafka {
    let number = |number| i32::try_from(number).unwrap_or(0);
    flow::Kafka {
        error_code: if is_request {
            0
        } else {
            number(record.error_code)
        },
        api_version: number(record.api_version),
        api_key: record.api_key.clone(),
        correlation_id: number(record.correlation_id),
        topic: record.topic.clone(),
    }
}

#[cfg(test)]
mod tests {
    use flow::layer7::Record;

    use super::{
        super::tests::{access_log, gob},
        *,
    };

    fn flow_of(record: &[u8]) -> Flow {
        flow(
            &access_log(record),
            &mut Requests::default(),
            &Redaction::default(),
        )
        .unwrap()
    }

    #[test]
    fn a_request_and_its_response_are_flows_of_one_trace() {
        let mut requests = Requests::default();
        let redaction = Redaction::default();
        let request = flow(&access_log(gob!("http_request")), &mut requests, &redaction).unwrap();
        let response = flow(
            &access_log(gob!("http_response")),
            &mut requests,
            &redaction,
        )
        .unwrap();
        #[expect(deprecated, reason = "the field is still served")]
        {
            assert_eq!(
                request.summary,
                "HTTP/1.1 GET http://user:HUBBLE_REDACTED@api.shop:8080/cart/7?item=HUBBLE_REDACTED#HUBBLE_REDACTED"
            );
            assert_eq!(
                response.summary,
                "HTTP/1.1 404 7ms (GET http://user:HUBBLE_REDACTED@api.shop:8080/cart/7?item=HUBBLE_REDACTED#HUBBLE_REDACTED)"
            );
        }
        assert_eq!(
            (request.is_reply, response.is_reply),
            (Some(false), Some(true))
        );
        assert_eq!(request.event_type.unwrap().r#type, 129);
        let trace = |flow: &Flow| {
            let parent = flow.trace_context.clone().unwrap().parent;
            parent.unwrap().trace_id
        };
        assert_eq!(trace(&request), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace(&request), trace(&response));
        let layer7 = response.l7.unwrap();
        assert_eq!(layer7.latency_ns, 7_500_000);
        let Some(Record::Http(http)) = layer7.record else {
            panic!("no http");
        };
        assert_eq!((http.code, &*http.method), (404, "GET"));
        let Some(Record::Http(http)) = request.l7.unwrap().record else {
            panic!("no http");
        };
        let keys: Vec<&str> = http.headers.iter().map(|header| &*header.key).collect();
        assert_eq!(keys, ["Accept", "Accept", "Traceparent", "X-Request-Id"]);
    }

    #[test]
    fn a_denied_request_is_dropped_without_a_reason() {
        let flow = flow_of(gob!("http_denied"));
        assert_eq!(flow.verdict(), Verdict::Dropped);
        assert_eq!(flow.drop_reason_desc, 0);
        assert_eq!(flow.traffic_direction(), TrafficDirection::Ingress);
        let source = flow.source.unwrap();
        assert_eq!((source.id, source.identity), (4242, 25001));
        assert_eq!(source.cluster_name, "default");
        assert!(source.labels.is_sorted());
        assert_eq!(flow.ip.unwrap().source, "10.0.1.7");
    }

    #[test]
    #[expect(deprecated, reason = "the field is still served")]
    fn dns_tells_question_and_answer() {
        let query = flow_of(gob!("dns_query"));
        assert_eq!(query.summary, "DNS Query www.example.org. AAAA,A");
        assert_eq!(query.ip.as_ref().unwrap().source, "fd00::7");
        assert_eq!(query.traffic_direction(), TrafficDirection::Egress);
        assert!(matches!(
            query.l4.unwrap().protocol,
            Some(flow::layer4::Protocol::Udp(_))
        ));
        let answer = flow_of(gob!("dns_answer"));
        assert_eq!(
            answer.summary,
            "DNS Answer \"192.0.2.80,192.0.2.81,2001:db8::80\" CNAMEs: \"edge.example.net.\" \
             TTL: 300 (Proxy www.example.org. A)"
        );
        let Some(Record::Dns(dns)) = answer.l7.unwrap().record else {
            panic!("no dns");
        };
        assert_eq!(dns.rrtypes, ["CNAME", "A"]);
        assert_eq!(
            flow_of(gob!("dns_nxdomain")).summary,
            "DNS Answer RCode: Non-Existent Domain TTL: 0 (Proxy nope.example.org. A)"
        );
    }

    #[test]
    #[expect(deprecated, reason = "the field is still served")]
    fn other_protocols_tell_their_fields() {
        assert_eq!(
            flow_of(gob!("kafka_request")).summary,
            "Kafka request produce correlation id -5 topic 'orders'"
        );
        let generic = flow_of(gob!("generic"));
        assert_eq!(generic.verdict(), Verdict::Redirected);
        assert_eq!(
            generic.summary,
            "cassandra Fields: map[query_action:select query_table:shop.carts]"
        );
        assert_eq!(generic.l7.unwrap().record, None);
    }

    #[test]
    fn a_record_without_a_readable_time_is_refused() {
        let log = access_log(gob!("bad_timestamp"));
        let error = flow(&log, &mut Requests::default(), &Redaction::default()).unwrap_err();
        assert_eq!(error.reason(), "bad_timestamp");
    }
}

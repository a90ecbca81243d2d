//! The access log of the agent's proxies (type 129): one request or response, and who spoke.

use std::net::IpAddr;

use super::CiliumError;
use crate::decode::gob::{Decoder, Struct, Value};

const KIND: &str = "access log";

/// A request or response that a proxy saw. Texts are the agent's words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AccessLog {
    /// `Request`, `Response` or `Sample`.
    pub kind: String,
    /// RFC 3339 with nanoseconds: a request's beginning or a response's end.
    pub timestamp: String,
    /// `Ingress` or `Egress`.
    pub observation_point: String,
    /// Who sent it.
    pub source: LoggedEndpoint,
    /// Who was to receive it.
    pub destination: LoggedEndpoint,
    /// 0 for IPv4, 1 for IPv6.
    pub ip_version: u64,
    /// `Forwarded`, `Denied`, `Error` or `Redirected`.
    pub verdict: String,
    /// IP protocol number.
    pub transport: u64,
    /// An HTTP request or response.
    pub http: Option<HttpRecord>,
    /// A DNS query or answer.
    pub dns: Option<DnsRecord>,
    /// A Kafka request or response, from agents before 1.20.
    pub kafka: Option<KafkaRecord>,
    /// Any other protocol.
    pub generic: Option<GenericRecord>,
}

/// One side of a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LoggedEndpoint {
    /// Number of the endpoint on its node, 0 for remote ones.
    pub id: u64,
    /// Address, empty for none.
    pub ipv4: String,
    /// Address, empty for none.
    pub ipv6: String,
    /// Port.
    pub port: u64,
    /// Security identity.
    pub identity: u64,
    /// `source:key=value`, in no order.
    pub labels: Vec<String>,
}

/// An HTTP request or response.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HttpRecord {
    /// Status, 0 for requests.
    pub code: i64,
    /// Method.
    pub method: String,
    /// URL as text.
    pub url: String,
    /// As in `HTTP/1.1`.
    pub protocol: String,
    /// Name and values, in no order.
    pub headers: Vec<(String, Vec<String>)>,
}

/// A DNS query or answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DnsRecord {
    /// Ends with a dot.
    pub query: String,
    /// Addresses in the answer.
    pub ips: Vec<IpAddr>,
    /// Seconds.
    pub ttl: u64,
    /// Names on the way to the addresses.
    pub cnames: Vec<String>,
    /// Who saw it, such as `proxy`.
    pub observation_source: String,
    /// Response code.
    pub rcode: i64,
    /// Types asked for.
    pub question_types: Vec<u64>,
    /// Types in the answer.
    pub answer_types: Vec<u64>,
}

/// A Kafka request or response.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KafkaRecord {
    /// 0 for requests and successes.
    pub error_code: i64,
    /// Version of the request.
    pub api_version: i64,
    /// As in `produce`.
    pub api_key: String,
    /// Joins request and response.
    pub correlation_id: i64,
    /// May be empty.
    pub topic: String,
}

/// A request of any other protocol.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GenericRecord {
    /// The protocol.
    pub protocol: String,
    /// What its parser found, in no order.
    pub fields: Vec<(String, String)>,
}

impl AccessLog {
    pub(super) fn read(stream: &[u8]) -> Result<Self, CiliumError> {
        let failed = |source| CiliumError::Gob { kind: KIND, source };
        let mut decoder = Decoder::default();
        let encoded = decoder.first(stream).map_err(failed)?;
        let Value::Struct(fields) = decoder.value(encoded).map_err(failed)? else {
            return Err(CiliumError::NoStruct { kind: KIND });
        };
        let mut read = Self::default();
        for field in fields.fields() {
            match field {
                ("Type", it) => read.kind = text(it),
                ("Timestamp", it) => read.timestamp = text(it),
                ("ObservationPoint", it) => read.observation_point = text(it),
                ("SourceEndpoint", Value::Struct(it)) => read.source = endpoint(it),
                ("DestinationEndpoint", Value::Struct(it)) => read.destination = endpoint(it),
                ("IPVersion", Value::Uint(it)) => read.ip_version = it,
                ("Verdict", it) => read.verdict = text(it),
                ("TransportProtocol", Value::Uint(it)) => read.transport = it,
                ("HTTP", Value::Struct(it)) => read.http = Some(http(it)),
                ("DNS", Value::Struct(it)) => read.dns = Some(dns(it)),
                ("Kafka", Value::Struct(it)) => read.kafka = Some(kafka(it)),
                ("L7", Value::Struct(it)) => read.generic = Some(generic(it)),
                _ => {}
            }
        }
        Ok(read)
    }
}

fn endpoint(fields: Struct<'_>) -> LoggedEndpoint {
    let mut read = LoggedEndpoint::default();
    for field in fields.fields() {
        match field {
            ("ID", Value::Uint(it)) => read.id = it,
            ("IPv4", it) => read.ipv4 = text(it),
            ("IPv6", it) => read.ipv6 = text(it),
            ("Port", Value::Uint(it)) => read.port = it,
            ("Identity", Value::Uint(it)) => read.identity = it,
            ("Labels", it) => read.labels = texts(it),
            _ => {}
        }
    }
    read
}

fn http(fields: Struct<'_>) -> HttpRecord {
    let mut read = HttpRecord::default();
    for field in fields.fields() {
        match field {
            ("Code", Value::Int(it)) => read.code = it,
            ("Method", it) => read.method = text(it),
            ("URL", it) => read.url = text(it),
            ("Protocol", it) => read.protocol = text(it),
            ("Headers", Value::Map(it)) => {
                read.headers = it
                    .iter()
                    .map(|(name, values)| (text(name), texts(values)))
                    .collect();
            }
            _ => {}
        }
    }
    read
}

fn dns(fields: Struct<'_>) -> DnsRecord {
    let mut read = DnsRecord::default();
    for field in fields.fields() {
        match field {
            ("Query", it) => read.query = text(it),
            ("IPs", Value::List(it)) => read.ips = it.iter().filter_map(address).collect(),
            ("TTL", Value::Uint(it)) => read.ttl = it,
            ("CNAMEs", it) => read.cnames = texts(it),
            ("ObservationSource", it) => read.observation_source = text(it),
            ("RCode", Value::Int(it)) => read.rcode = it,
            ("QTypes", it) => read.question_types = numbers(it),
            ("AnswerTypes", it) => read.answer_types = numbers(it),
            _ => {}
        }
    }
    read
}

fn kafka(fields: Struct<'_>) -> KafkaRecord {
    let mut read = KafkaRecord::default();
    for field in fields.fields() {
        match field {
            ("ErrorCode", Value::Int(it)) => read.error_code = it,
            ("APIVersion", Value::Int(it)) => read.api_version = it,
            ("APIKey", it) => read.api_key = text(it),
            ("CorrelationID", Value::Int(it)) => read.correlation_id = it,
            ("Topic", Value::Struct(topic)) => {
                read.topic = topic.fields().map(|(_, it)| text(it)).collect();
            }
            _ => {}
        }
    }
    read
}

fn generic(fields: Struct<'_>) -> GenericRecord {
    let mut read = GenericRecord::default();
    for field in fields.fields() {
        match field {
            ("Proto", it) => read.protocol = text(it),
            ("Fields", Value::Map(it)) => {
                read.fields = it
                    .iter()
                    .map(|(name, value)| (text(name), text(value)))
                    .collect();
            }
            _ => {}
        }
    }
    read
}

/// A text, or a value that wrote itself as one, as URLs do. Empty for anything else.
fn text(value: Value<'_>) -> String {
    match value {
        Value::Text(text) | Value::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

fn texts(value: Value<'_>) -> Vec<String> {
    match value {
        Value::List(list) => list.iter().map(text).collect(),
        _ => Vec::new(),
    }
}

fn numbers(value: Value<'_>) -> Vec<u64> {
    let Value::List(list) = value else {
        return Vec::new();
    };
    list.iter()
        .filter_map(|value| match value {
            Value::Uint(number) => Some(number),
            _ => None,
        })
        .collect()
}

/// Go's addresses: 4 or 16 bytes, where an IPv4 address may take 16.
fn address(value: Value<'_>) -> Option<IpAddr> {
    let Value::Bytes(bytes) = value else {
        return None;
    };
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|bytes| IpAddr::from(bytes).to_canonical())
}

//! Flows to export.

use std::time::{SystemTime, UNIX_EPOCH};

/// A flow as a line, of a time in nanoseconds since 1970. Its number is in its uuid and its port.
pub(crate) fn line_at(number: usize, time_ns: u128) -> String {
    let time = prost_types::Timestamp {
        seconds: (time_ns / 1_000_000_000) as i64,
        nanos: (time_ns % 1_000_000_000) as i32,
    };
    let verdict = if number.is_multiple_of(3) {
        "\"DROPPED\",\"drop_reason\":133"
    } else {
        "\"FORWARDED\""
    };
    let port = number % 60_000 + 1;
    let direction = ["TRAFFIC_DIRECTION_UNKNOWN", "INGRESS", "EGRESS"][number % 3];
    let direction = match direction {
        "TRAFFIC_DIRECTION_UNKNOWN" => String::new(),
        direction => format!("\"traffic_direction\":\"{direction}\","),
    };
    format!(
        "{{\"flow\":{{\"time\":\"{time}\",\"verdict\":{verdict},\
         \"IP\":{{\"source\":\"10.1.0.4\",\"destination\":\"10.1.0.9\",\"ipVersion\":\"IPv4\"}},\
         \"l4\":{{\"TCP\":{{\"source_port\":{port},\"destination_port\":5432,\"flags\":{{\"SYN\":true}}}}}},\
         \"source\":{{\"identity\":4711,\"namespace\":\"shop\",\"labels\":[\"k8s:app=<web>\",\"k8s:b=c\"],\
         \"pod_name\":\"web-{}\"}},\
         \"destination\":{{\"identity\":4712,\"namespace\":\"shop\",\"pod_name\":\"db-0\"}},\
         \"Type\":\"L3_L4\",\"node_name\":\"node-1\",\"event_type\":{{\"type\":4}},{direction}\
         \"is_reply\":false,\"uuid\":\"{number:08}\",\"Summary\":\"TCP Flags: SYN\"}},\
         \"node_name\":\"node-1\",\"time\":\"{time}\"}}\n",
        number % 2,
    )
}

/// So many flows from a number on, a microsecond after each other, until now.
pub(crate) fn lines(numbers: std::ops::Range<usize>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let count = numbers.len() as u128;
    let begin = now.as_nanos() - count * 1_000;
    let line = |(index, number)| line_at(number, begin + index as u128 * 1_000);
    numbers.enumerate().map(line).collect()
}

/// The number of a flow in a line.
pub(crate) fn number(line: &str) -> usize {
    let (_, rest) = line.split_once("\"uuid\":\"").unwrap();
    rest[..8].parse().unwrap()
}

/// The numbers of lines.
pub(crate) fn numbers<'l>(lines: impl IntoIterator<Item = &'l String>) -> Vec<usize> {
    lines.into_iter().map(|line| number(line)).collect()
}

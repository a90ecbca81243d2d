//! What a mock peer sends: encoded flows of which only time and node change, so that a message costs
//! a peer one copy. The same bytes say to the client whose a message is and when it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flow_api::{
    flow::{Endpoint, Flow, LostEvent},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use prost::Message as _;

/// Sizes of messages, smallest first: 722 bytes in the mean, as in the reference figures.
pub(crate) const SIZES: [usize; 8] = [610, 640, 680, 700, 722, 750, 790, 884];

/// Frame header of HTTP/2, and prefix of gRPC.
const FRAME_HEADER: usize = 9;
const PREFIX: usize = 5;
const DATA: u8 = 0;

/// `node_name`: tag 1000, length, and a name as in `peer-00042`.
const NODE_NAME: &[u8] = b"\xc2\x3e\x0apeer-";
const DIGITS: usize = 5;
/// `time`: tag 1001, length; then seconds and nanoseconds, each a varint of five bytes however small
/// it is.
const TIME: &[u8] = b"\xca\x3e\x0c";
const TIME_LEN: usize = 12;

/// The end of every message.
const TAIL: usize = NODE_NAME.len() + DIGITS + TIME.len() + TIME_LEN;

/// Time since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// What a peer can send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A flow; numbers differ in size.
    Flow(u64),
    /// Events that were lost.
    Lost,
    /// Nothing but the time.
    Progress,
}

/// Ready messages without node and time.
pub(crate) struct Messages {
    flows: Vec<Vec<u8>>,
    lost: Vec<u8>,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Self {
            flows: SIZES.iter().map(|&size| flow(size - TAIL)).collect(),
            lost: encoded(ResponseTypes::LostEvents(LostEvent {
                num_events_lost: 1,
                ..LostEvent::default()
            })),
        }
    }

    /// Appends a message as a DATA frame of its own, as Go servers send them.
    pub(crate) fn put(
        &self,
        out: &mut Vec<u8>,
        what: What,
        stream: u32,
        peer: u32,
        time: Duration,
    ) {
        let body: &[u8] = match what {
            What::Flow(number) => &self.flows[number as usize % SIZES.len()],
            What::Lost => &self.lost,
            What::Progress => &[],
        };
        let length = body.len() + TAIL;
        put_header(out, PREFIX + length, DATA, 0, stream);
        out.push(0);
        out.extend((length as u32).to_be_bytes());
        out.extend(body);
        out.extend(NODE_NAME);
        let mut digits = [b'0'; DIGITS];
        let mut rest = peer;
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        out.extend(digits);
        out.extend(TIME);
        out.push(0x08);
        put_varint(out, time.as_secs());
        out.push(0x10);
        put_varint(out, u64::from(time.subsec_nanos()));
    }

    /// Bytes that a message takes of the windows.
    pub(crate) fn window_bytes(&self, what: What) -> i64 {
        let body = match what {
            What::Flow(number) => self.flows[number as usize % SIZES.len()].len(),
            What::Lost => self.lost.len(),
            What::Progress => 0,
        };
        (body + TAIL + PREFIX) as i64
    }
}

/// The header of a frame.
pub(crate) fn put_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.reserve(FRAME_HEADER + length);
    out.extend(&(length as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
}

/// Whose a message is, and its time; `None` for one that is not a peer's.
pub(crate) fn origin(message: &[u8]) -> Option<(u32, Duration)> {
    let tail = message.get(message.len().checked_sub(TAIL)?..)?;
    let digits = tail.strip_prefix(NODE_NAME)?.get(..DIGITS)?;
    let peer = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let time = tail.get(TAIL - TIME_LEN..)?;
    let seconds = varint(time.get(1..6)?);
    let nanos = varint(time.get(7..)?) as u32;
    Some((peer, Duration::new(seconds, nanos)))
}

/// Whether a message is a flow: the field that begins it.
pub(crate) fn is_flow(message: &[u8]) -> bool {
    message.first() == Some(&0x0a)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    for _ in 0..4 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8 & 0x7f);
}

fn varint(bytes: &[u8]) -> u64 {
    let parts = bytes.iter().rev().map(|byte| u64::from(byte & 0x7f));
    parts.fold(0, |value, part| value << 7 | part)
}

/// A flow whose message is so long.
fn flow(length: usize) -> Vec<u8> {
    let endpoint = |name: &str| Endpoint {
        id: 1234,
        identity: 54_321,
        namespace: "shop".to_owned(),
        pod_name: format!("{name}-6d5f7c9b8-x2x4q"),
        labels: vec![
            format!("k8s:app={name}"),
            "k8s:io.kubernetes.pod.namespace=shop".to_owned(),
        ],
        ..Endpoint::default()
    };
    let mut flow = Flow {
        uuid: "7f1a4b0c-4c1d-4a55-9a3e-5b8f2f6d1c20".to_owned(),
        node_name: "cluster/node-1".to_owned(),
        source: Some(endpoint("web")),
        destination: Some(endpoint("cart")),
        ..Flow::default()
    };
    // Names make up what is missing.
    let bare = encoded(ResponseTypes::Flow(flow.clone())).len();
    flow.source_names = vec!["n".repeat(length.saturating_sub(bare + 4).max(1))];
    encoded(ResponseTypes::Flow(flow))
}

fn encoded(what: ResponseTypes) -> Vec<u8> {
    let response = GetFlowsResponse {
        response_types: Some(what),
        ..GetFlowsResponse::default()
    };
    response.encode_to_vec()
}

//! What a request gets from the ring.

mod events;
mod follow;
mod loss;
mod position;

use std::net::IpAddr;

use flow_api::{
    flow::{FlowFilter, Verdict},
    frames::Frames,
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use probe_events::{TracePoint, TraceReason};
use prost::Message as _;

use super::*;
use crate::record::{
    Counts, FlowRecord, Ip, KernelDrop, Observation, PacketHeaders, Party, Transport,
};

const SECOND: i64 = 1_000_000_000;

/// A flow at a second, from 10.0.0.SECOND; every third is a drop.
pub(super) fn flow(second: i64) -> Event {
    let observation = if second % 3 == 0 {
        Observation::KernelDrop(Arc::new(KernelDrop {
            code: 133,
            reason: "NETFILTER_DROP".into(),
            function: None,
            netns_inode: 0,
        }))
    } else {
        Observation::Trace {
            point: TracePoint::FromEndpoint,
            reason: TraceReason::New,
            encrypted: false,
        }
    };
    Event::Flow(FlowRecord {
        time_ns: second * SECOND,
        uuid: second as u128,
        observation,
        packet: PacketHeaders {
            ip: Some(Ip {
                source: IpAddr::from([10, 0, 0, second as u8]),
                destination: IpAddr::from([10, 0, 1, 1]),
            }),
            transport: Some(Transport::Udp {
                source_port: 1000,
                destination_port: 53,
            }),
            ..PacketHeaders::default()
        },
        source: Party {
            identity: 7,
            ..Party::default()
        },
        destination: Party::default(),
        direction: flow_api::flow::TrafficDirection::Egress,
        tunnel: None,
        interface: None,
        socket_cookie: 0,
        counts: Counts::default(),
        process: None,
        translation: None,
        rare: None,
    })
}

fn ring(capacity: usize, seconds: impl IntoIterator<Item = i64>) -> Arc<FlowRing> {
    let ring = FlowRing::new(capacity);
    for second in seconds {
        ring.publish(&mut vec![flow(second)]);
    }
    Arc::new(ring)
}

pub(super) fn start(ring: &Arc<FlowRing>, request: &GetFlowsRequest) -> Result<Query, Status> {
    let node = Arc::new(NodeFacts {
        name: "node-1".to_owned(),
        directory: None,
    });
    Query::new(
        Kind::Flows,
        request,
        Arc::clone(ring),
        node,
        CancellationToken::new(),
    )
}

/// The next response. Tests take them one by one, and leave the others where they are.
async fn next(query: &mut Query) -> Option<Result<Bytes, Status>> {
    let frames = match query.next_frames().await? {
        Ok(frames) => frames,
        Err(status) => return Some(Err(status)),
    };
    let mut frames = Frames::new(frames);
    let response = frames.next().unwrap();
    if !frames.rest().is_empty() {
        query.ready.push_front(frames.rest().clone());
    }
    Some(Ok(response))
}

pub(super) async fn response(query: &mut Query) -> Option<GetFlowsResponse> {
    let bytes = next(query).await?.unwrap();
    Some(GetFlowsResponse::decode(bytes).unwrap())
}

/// What a finite request gets: seconds of flows, and `-count` for losses.
async fn answer(ring: &Arc<FlowRing>, request: GetFlowsRequest) -> Vec<i64> {
    let mut query = start(ring, &request).unwrap();
    let mut seen = Vec::new();
    while let Some(response) = response(&mut query).await {
        seen.push(match response.response_types {
            Some(ResponseTypes::Flow(flow)) => flow.time.unwrap().seconds,
            Some(ResponseTypes::LostEvents(lost)) => -(lost.num_events_lost as i64),
            other => panic!("{other:?}"),
        });
    }
    seen
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn dropped() -> Vec<FlowFilter> {
    vec![FlowFilter {
        verdict: vec![Verdict::Dropped.into()],
        ..FlowFilter::default()
    }]
}

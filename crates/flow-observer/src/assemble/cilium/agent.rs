//! What the agent tells beside the datapath: requests that its proxies saw, what it did itself, and
//! debug messages.

use std::net::IpAddr;

use flow_api::flow::{Endpoint, Flow};

use super::Cilium;
use crate::{
    assemble::{Assembler, Surroundings, now_ns},
    decode::cilium::{self as records, AccessLog, AgentNotification, DebugMessage},
    encode,
    enrich::{End, Told},
    ring::{Event, Message},
};

impl Assembler {
    /// A request or response: a message already, to which the node adds what it knows.
    pub(super) fn request(&mut self, log: &AccessLog, around: &Surroundings) -> Option<Flow> {
        for logged in [&log.source, &log.destination] {
            for address in [&logged.ipv4, &logged.ipv6] {
                if let (Ok(address), Ok(id)) = (address.parse(), u16::try_from(logged.id)) {
                    self.cilium.endpoints.learn(address, id);
                }
            }
        }
        let flow =
            match records::l7_flow(log, &mut self.cilium.requests, self.exchanges.redaction()) {
                Ok(flow) => flow,
                Err(error) => return self.undecodable(error.reason()),
            };
        let mut flow = Flow {
            time: Some(encode::timestamp(now_ns())),
            uuid: encode::uuid_text(self.uuids.next()),
            emitter: Some(encode::emitter()),
            node_name: self.directory.node_name().to_owned(),
            ..flow
        };
        if let Some(ip) = &flow.ip {
            for (text, side) in [
                (&ip.source, &mut flow.source),
                (&ip.destination, &mut flow.destination),
            ] {
                if let (Ok(address), Some(side)) = (text.parse(), side) {
                    self.cilium.describe(address, side, around);
                }
            }
        }
        Some(flow)
    }

    pub(super) fn agent_event(&mut self, notification: &AgentNotification) -> Event {
        let message = records::agent_event(notification);
        if let Some(id) = records::deleted_endpoint(&message) {
            self.cilium.endpoints.forget(id);
        }
        Event::Agent(Message {
            time_ns: now_ns(),
            message: Box::new(message),
        })
    }

    pub(super) fn debug_event(&mut self, message: &DebugMessage, cpu: u32) -> Event {
        let source = (message.source != 0).then(|| {
            let known = self.cilium.endpoints.by_id(message.source);
            let mut source = known.map_or_else(Endpoint::default, |known| Endpoint {
                identity: known.identity,
                cluster_name: known.cluster_name.to_string(),
                namespace: known.namespace.to_string(),
                labels: known.labels.to_vec(),
                pod_name: known.pod_name.to_string(),
                ..Endpoint::default()
            });
            source.id = message.source.into();
            source
        });
        Event::Debug(Message {
            time_ns: now_ns(),
            message: Box::new(records::debug_event(message, cpu, source)),
        })
    }
}

impl Cilium {
    /// Adds the names that belong to an address to what the record tells of its endpoint. Where
    /// another endpoint has the address by now, its names are not those of this one.
    fn describe(&mut self, address: IpAddr, side: &mut Endpoint, around: &Surroundings) {
        let end = End {
            address: Some(address),
            identity: side.identity,
            number: Told::Nothing,
        };
        let (party, _) = self.endpoints.party(&around.snapshot, end);
        let known = &party.endpoint;
        if known.id != 0 && side.id != 0 && known.id != side.id {
            return;
        }
        side.namespace = known.namespace.to_string();
        side.pod_name = known.pod_name.to_string();
        side.workloads = encode::workloads(known);
    }
}

//! What the agent tells beside the datapath: requests that its proxies saw, what it did itself, and
//! debug messages.

use std::net::IpAddr;

use flow_api::{
    extension,
    flow::{self, Endpoint, Flow},
    palomar::FlowDetail,
};

use super::Cilium;
use crate::{
    assemble::{Assembler, Surroundings, now_ns, services},
    decode::cilium::{self as records, AccessLog, AgentNotification, DebugMessage, LoggedEndpoint},
    encode,
    enrich::{Answer, End, HOST, Told},
    ring::{Event, Message},
    translation,
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
        self.hear_answer(log, around);
        let mut flow = Flow {
            time: Some(encode::timestamp(now_ns())),
            uuid: encode::uuid_text(self.uuids.next()),
            emitter: Some(encode::emitter()),
            node_name: self.directory.node_name().to_owned(),
            node_labels: around.snapshot.own_labels().to_vec(),
            source_service: service(log, &log.source, around),
            destination_service: service(log, &log.destination, around),
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
        self.name(&mut flow, around);
        Some(flow)
    }

    /// Puts to each side of a request the names by which the other, where that is of this node,
    /// knows it.
    fn name(&mut self, flow: &mut Flow, around: &Surroundings) {
        let Some(ip) = &flow.ip else { return };
        let (Ok(source), Ok(destination)) = (ip.source.parse(), ip.destination.parse()) else {
            return;
        };
        let is_told = |side: &Option<Endpoint>, address| {
            side.as_ref()
                .is_some_and(|it| is_of_node(it.id.into(), it.identity.into(), address, around))
        };
        let mut names = |address, asker, is_told: bool| {
            let fixed = around.snapshot.names(address);
            if is_told {
                self.names.names(asker, address, around.now_ns, fixed)
            } else {
                fixed.cloned()
            }
        };
        let source_names = names(source, destination, is_told(&flow.destination, destination));
        let destination_names = names(destination, source, is_told(&flow.source, source));
        if source_names.is_none() && destination_names.is_none() {
            return;
        }
        flow.source_names = encode::names(source_names.as_ref());
        flow.destination_names = encode::names(destination_names.as_ref());
        flow.extensions = Some(extension::pack(&FlowDetail {
            source_names: encode::name_details(source_names.as_ref()),
            destination_names: encode::name_details(destination_names.as_ref()),
            ..FlowDetail::default()
        }));
    }

    /// Learns what the endpoint that a DNS answer is for was told.
    fn hear_answer(&mut self, log: &AccessLog, around: &Surroundings) {
        let Some(dns) = log.dns.as_ref().filter(|dns| dns.rcode == 0) else {
            return;
        };
        let asker = &log.destination;
        let Some(address) = address(log, asker) else {
            return;
        };
        if log.kind == "Response" && is_of_node(asker.id, asker.identity, address, around) {
            self.names.hear_answer(&Answer {
                asker: address,
                query: &dns.query,
                addresses: &dns.ips,
                at_ns: around.now_ns,
                ttl_seconds: dns.ttl.try_into().unwrap_or(u32::MAX),
            });
        }
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

/// The service that a side of a request is.
fn service(log: &AccessLog, side: &LoggedEndpoint, around: &Surroundings) -> Option<flow::Service> {
    let end = translation::End {
        ip: address(log, side)?,
        port: u16::try_from(side.port).ok()?,
    };
    let protocol = u8::try_from(log.transport).ok()?;
    services::of(&around.snapshot, protocol, end).map(|it| encode::service(&it))
}

/// The address that one side of a request has in it.
fn address(log: &AccessLog, side: &LoggedEndpoint) -> Option<IpAddr> {
    let text = match log.ip_version {
        0 => &side.ipv4,
        1 => &side.ipv6,
        _ => return None,
    };
    text.parse().ok()
}

/// Whether somebody is of this node, by the record or by what is known of the address: older agents
/// do not log the number of an endpoint that asks a DNS server.
fn is_of_node(id: u64, identity: u64, address: IpAddr, around: &Surroundings) -> bool {
    id != 0 || identity == u64::from(HOST) || around.snapshot.endpoint(address).id != 0
}

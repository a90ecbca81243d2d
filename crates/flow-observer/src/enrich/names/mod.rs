//! Names that were heard on the wire: who calls which address what.
//!
//! In: what applications say ([`NameTable::hear`]): answers of DNS servers, and the names of servers
//! that TLS, QUIC and HTTP/1 clients ask for. Out: the names of both sides of a flow
//! ([`NameTable::name`]), each as the other side was told. A name holds for whoever asked and nobody
//! else, so that a lie that one pod is told does not spread.
//!
//! Owned by the assembler, whose thread alone uses it. Everything is bounded: see the constants of
//! [`table`].

mod ages;
mod dns;
mod host_name;
mod numbered;
mod peers;
mod table;
mod texts;

use std::{net::IpAddr, sync::Arc};

use super::HOST;
use crate::{
    counters::Counters,
    decode::payload::{Application, tls::ClientHello},
    record::{Endpoint, FlowRecord, Ip, NameOrigin, Names, Observation, Party},
};
use host_name::HostName;
use table::{Known, Table, Told};

/// What was heard, by whom.
#[derive(Debug)]
pub struct NameTable {
    table: Table,
    counters: Arc<Counters>,
}

/// An answer of a DNS server that somebody else has read.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Who asked; must be somebody of this node.
    pub asker: IpAddr,
    /// The name that was asked for.
    pub query: &'a str,
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// When; nanoseconds since 1970.
    pub at_ns: i64,
    /// For how long the addresses hold.
    pub ttl_seconds: u32,
}

/// Who says which identity the ends of a flow have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Identities {
    /// This agent: a peer outside of the cluster with a name has one of its own.
    Ours,
    /// The flow's source.
    Theirs,
}

impl NameTable {
    /// Nothing was heard. What is forgotten before its time is counted.
    #[must_use]
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            table: Table::default(),
            counters,
        }
    }

    /// Learns from what was said in the packet of a flow.
    pub fn hear(&mut self, application: &Application<'_>, flow: &FlowRecord) {
        let Some(ip) = flow.packet.ip else {
            return;
        };
        match application {
            Application::Dns(message) => {
                if dns::is_answer(message, flow.packet.transport)
                    && is_told(&flow.destination, flow)
                {
                    dns::addresses(message, |name, address, ttl_seconds| {
                        self.tell(&Told {
                            asker: ip.destination,
                            address,
                            name: name.as_str(),
                            origin: NameOrigin::Dns,
                            at_ns: flow.time_ns,
                            ttl_seconds,
                        });
                    });
                }
            }
            Application::Tls(hello) => self.client_hello(hello, NameOrigin::Tls, ip, flow),
            Application::Quic(initial) => {
                if let Some(hello) = &initial.client_hello {
                    self.client_hello(hello, NameOrigin::Quic, ip, flow);
                }
            }
            Application::HttpRequest(request) => {
                if let Some(name) = request.host.and_then(HostName::of_host) {
                    self.server(&name, NameOrigin::Http, ip, flow);
                }
            }
            Application::HttpResponse(_) => {}
        }
    }

    /// Learns from an answer that somebody else has read.
    pub fn hear_answer(&mut self, answer: &Answer<'_>) {
        let Some(name) = HostName::of_text(answer.query) else {
            return;
        };
        for &address in answer.addresses.iter().take(dns::MAX_ADDRESSES) {
            self.tell(&Told {
                asker: answer.asker,
                address,
                name: name.as_str(),
                origin: NameOrigin::Dns,
                at_ns: answer.at_ns,
                ttl_seconds: answer.ttl_seconds,
            });
        }
    }

    fn client_hello(
        &mut self,
        hello: &ClientHello<'_>,
        origin: NameOrigin,
        ip: Ip,
        flow: &FlowRecord,
    ) {
        if let Some(name) = hello.server_name.and_then(HostName::of_text) {
            self.server(&name, origin, ip, flow);
        }
    }

    /// A client names the server that it speaks to.
    fn server(&mut self, name: &HostName, origin: NameOrigin, ip: Ip, flow: &FlowRecord) {
        if is_told(&flow.source, flow) {
            self.tell(&Told {
                asker: flow.original_source().unwrap_or(ip.source),
                address: ip.destination,
                name: name.as_str(),
                origin,
                at_ns: flow.time_ns,
                ttl_seconds: 0,
            });
        }
    }

    fn tell(&mut self, told: &Told<'_>) {
        if told.address.is_unspecified() || told.address.is_multicast() {
            return;
        }
        if let Some(bound) = self.table.tell(told) {
            self.counters.forgot_names(bound.name());
        }
    }

    /// Addresses that have names, counted for each who was told.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.table.len()
    }

    /// Where the names of an address are looked for, as an asker knows it.
    #[inline]
    pub(super) fn hash(&self, asker: IpAddr, address: IpAddr) -> u64 {
        self.table.hash(asker, address)
    }

    /// Asks for the memory in which the look-up of a hash begins. Whether there is something.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> bool {
        self.table.touch(hash)
    }

    /// What is probably meant by a hash.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<&Known> {
        self.table.guess(hash)
    }

    /// Puts names to both sides of a flow, and identities to those that are known by name. To be
    /// called once for each flow, whose sides have the names that always hold and no others.
    pub fn name(&mut self, flow: &mut FlowRecord, identities: Identities) {
        let Some(Ip {
            source,
            destination,
        }) = flow.packet.ip
        else {
            return;
        };
        // Who is behind a mask was told what the mask asks for.
        let source = flow.original_source().unwrap_or(source);
        // Most who talk to this node's workloads are told nothing that is heard here.
        let is_source_told = is_told(&flow.source, flow);
        let is_destination_told = is_told(&flow.destination, flow);
        let now_ns = flow.time_ns;
        if is_destination_told {
            self.side(&mut flow.source, destination, source, now_ns, identities);
        }
        if is_source_told {
            let party = &mut flow.destination;
            self.side(party, source, destination, now_ns, identities);
        }
    }

    /// What somebody of this node calls an address, the latest first; then `fixed`, the names that it always has.
    pub(crate) fn names(
        &mut self,
        asker: IpAddr,
        address: IpAddr,
        now_ns: i64,
        fixed: Option<&Arc<Names>>,
    ) -> Option<Arc<Names>> {
        let told = self.table.find(asker, address, now_ns, fixed, None);
        told.map(|(names, _)| names).or_else(|| fixed.cloned())
    }

    /// Puts names to one side, as the other, the asker, calls its address.
    #[inline]
    fn side(
        &mut self,
        party: &mut Party,
        asker: IpAddr,
        address: IpAddr,
        now_ns: i64,
        identities: Identities,
    ) {
        // A service is of the cluster, though its address is nobody's.
        let is_peer = identities == Identities::Ours
            && party.service.is_none()
            && peers::is_world(&party.endpoint);
        let world = is_peer.then(|| &*party.endpoint);
        let fixed = party.names.as_ref();
        let Some((names, peer)) = self.table.find(asker, address, now_ns, fixed, world) else {
            return;
        };
        party.names = Some(names);
        if let Some(peer) = peer {
            party.identity = peer.identity;
            party.endpoint = peer;
        }
    }
}

/// Whether what somebody is told is remembered: workloads of this node and the node itself, by whose
/// devices all that they hear passes. A capture file is of nobody's node, so there everybody is.
fn is_told(party: &Party, flow: &FlowRecord) -> bool {
    is_of_this_node(&party.endpoint) || matches!(flow.observation, Observation::Captured)
}

/// Whether somebody is a workload of this node, or the node itself.
#[inline]
pub(super) fn is_of_this_node(endpoint: &Endpoint) -> bool {
    endpoint.id != 0 || endpoint.identity == HOST
}

#[cfg(test)]
mod tests;

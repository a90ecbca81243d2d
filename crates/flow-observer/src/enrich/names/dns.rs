//! What an answer of a DNS server says about addresses.

use std::net::IpAddr;

use super::HostName;
use crate::{
    decode::payload::dns::{Answer, Data, Message, Name},
    record::Transport,
};

const PORT: u16 = 53;
const OPCODE_QUERY: u8 = 0;
const RCODE_SUCCESS: u8 = 0;
/// Addresses that are taken from one answer; more than any balanced name has.
pub(super) const MAX_ADDRESSES: usize = 64;
/// Aliases and servers that are followed within one answer. Resolvers themselves give up after
/// about as many.
const MAX_NAMES: usize = 16;

/// Whether a message is a DNS server's word on an ordinary question. Multicast DNS has another port:
/// anybody in the same network may answer there.
pub(super) fn is_answer(message: &Message<'_>, transport: Option<Transport>) -> bool {
    let is_from_server = matches!(
        transport,
        Some(
            Transport::Udp { source_port, .. } | Transport::Tcp { source_port, .. }
        ) if source_port == PORT
    );
    is_from_server
        && message.is_response()
        && message.opcode() == OPCODE_QUERY
        && message.rcode() == RCODE_SUCCESS
}

/// Calls `tell` with each address that the answer has for a name, and the seconds for which it
/// holds: the least of the address and the aliases that lead to it. Addresses of what the asked name
/// is an alias of belong to the asked name: that is what was looked for. Those of the servers of a
/// service (SRV) belong to the servers.
pub(super) fn addresses(message: &Message<'_>, mut tell: impl FnMut(&HostName, IpAddr, u32)) {
    let Some(asked) = message.query() else {
        return;
    };
    let mut follow = Follow {
        asked: HostName::of_labels(asked.labels()),
        left: MAX_ADDRESSES,
        aliases: Names::of(asked),
        servers: Names::default(),
    };
    for answer in message.answers() {
        follow.answer(&answer, &mut tell);
    }
    if follow.servers.len > 0 {
        for record in message.additional() {
            follow.server(&record, &mut tell);
        }
    }
}

struct Follow<'a> {
    /// `None` where no host is called so, as that of a service.
    asked: Option<HostName>,
    left: usize,
    /// The asked name, and what it is an alias of.
    aliases: Names<'a>,
    /// Where the asked service is.
    servers: Names<'a>,
}

impl<'a> Follow<'a> {
    fn answer(&mut self, answer: &Answer<'a>, tell: &mut impl FnMut(&HostName, IpAddr, u32)) {
        let Some(ttl) = self.aliases.ttl(answer.name) else {
            return;
        };
        let ttl = ttl.min(answer.ttl);
        let Some(asked) = self.asked else {
            if let Data::Srv(server) = answer.data {
                self.servers.add(server, ttl);
            }
            return;
        };
        match answer.data {
            Data::A(address) => self.tell(&asked, address.into(), ttl, tell),
            Data::Aaaa(address) => self.tell(&asked, address.into(), ttl, tell),
            Data::Cname(alias) => self.aliases.add(alias, ttl),
            Data::Srv(server) => self.servers.add(server, ttl),
            Data::Binding(binding) => {
                for address in binding.hints() {
                    self.tell(&asked, address, ttl, tell);
                }
            }
            Data::Other(_) => {}
        }
    }

    fn server(&mut self, record: &Answer<'a>, tell: &mut impl FnMut(&HostName, IpAddr, u32)) {
        let address = match record.data {
            Data::A(address) => address.into(),
            Data::Aaaa(address) => address.into(),
            _ => return,
        };
        if let Some(ttl) = self.servers.ttl(record.name)
            && let Some(name) = HostName::of_labels(record.name.labels())
        {
            self.tell(&name, address, ttl.min(record.ttl), tell);
        }
    }

    fn tell(
        &mut self,
        name: &HostName,
        address: IpAddr,
        ttl: u32,
        tell: &mut impl FnMut(&HostName, IpAddr, u32),
    ) {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            tell(name, address, ttl);
        }
    }
}

/// A few names, each with the seconds for which it holds.
#[derive(Default)]
struct Names<'a> {
    names: [Option<(Name<'a>, u32)>; MAX_NAMES],
    len: usize,
}

impl<'a> Names<'a> {
    fn of(name: Name<'a>) -> Self {
        let mut names = Self::default();
        names.add(name, u32::MAX);
        names
    }

    /// Of more than fit, the first are followed.
    fn add(&mut self, name: Name<'a>, ttl: u32) {
        if let Some(place) = self.names.get_mut(self.len) {
            *place = Some((name, ttl));
            self.len += 1;
        }
    }

    fn ttl(&self, name: Name<'_>) -> Option<u32> {
        let mut known = self.names.iter().flatten();
        known
            .find(|(it, _)| is_same(*it, name))
            .map(|(_, ttl)| *ttl)
    }
}

fn is_same(one: Name<'_>, other: Name<'_>) -> bool {
    let (mut one, mut other) = (one.labels(), other.labels());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => {}
            _ => return false,
        }
    }
}

//! A DNS server for a small zone over UDP, and the question that its clients ask.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
    rdata::RData,
};

use super::{Workload, serve_datagrams};
use crate::Place;

/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long answers may be kept.
const TTL_SECONDS: u32 = 5;
/// Replies without extensions fit into this (RFC 1035, section 4.2.1).
const REPLY_LIMIT_BYTES: usize = 512;

/// The names that a server knows, fully qualified and without the last dot, and their addresses.
pub type Zone = BTreeMap<String, Vec<IpAddr>>;

/// Answers questions for A and AAAA records of `zone` on port 53 of `place`; other names do not
/// exist.
///
/// # Errors
/// When the port is taken.
pub fn serve_dns(place: &impl Place, zone: Zone) -> Result<Workload> {
    let socket = place.run(|| Ok(UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 53))?))?;
    Workload::start(place, "dns server", move |state| {
        serve_datagrams(state, &socket, |query| answer(&zone, query));
    })
}

/// Query message -> reply message.
fn answer(zone: &Zone, query: &[u8]) -> Result<Vec<u8>> {
    let query = Packet::parse(query)?;
    let question = query
        .questions
        .first()
        .context("a query without a question")?;
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    reply.questions.push(question.clone());
    match zone.get(&question.qname.to_string()) {
        None => *reply.rcode_mut() = RCODE::NameError,
        Some(addresses) => {
            for address in addresses {
                let data = match (address, question.qtype) {
                    (IpAddr::V4(v4), QTYPE::TYPE(TYPE::A)) => RData::A((*v4).into()),
                    (IpAddr::V6(v6), QTYPE::TYPE(TYPE::AAAA)) => RData::AAAA((*v6).into()),
                    _ => continue,
                };
                let name = question.qname.clone();
                reply
                    .answers
                    .push(ResourceRecord::new(name, CLASS::IN, TTL_SECONDS, data));
            }
        }
    }
    Ok(reply.build_bytes_vec_compressed()?)
}

/// Asks `server` for the first address of `name`: an A or an AAAA record, the same family as the
/// server's own address. `None` when the name does not exist.
pub(super) fn resolve(server: SocketAddr, name: &str) -> Result<Option<IpAddr>> {
    let record = if server.is_ipv4() {
        TYPE::A
    } else {
        TYPE::AAAA
    };
    let socket = UdpSocket::bind(super::client::any_address(server))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(server)?;
    // Ports are the kernel's and differ from query to query, so one number serves for all.
    let mut query = Packet::new_query(1);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name)?;
    query.questions.push(Question::new(
        name,
        record.into(),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    socket.send(&query.build_bytes_vec()?)?;

    let mut buffer = [0; REPLY_LIMIT_BYTES];
    let len = socket.recv(&mut buffer)?;
    let reply = Packet::parse(&buffer[..len])?;
    ensure!(
        reply.id() == query.id(),
        "reply {}, expected {}",
        reply.id(),
        query.id()
    );
    Ok(reply.answers.iter().find_map(|answer| match &answer.rdata {
        RData::A(a) => Some(IpAddr::V4(a.address.into())),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.address.into())),
        _ => None,
    }))
}

//! A DNS server on loopback that answers what a test says, by UDP, good for a second.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use simple_dns::rdata::{A, AAAA, RData, SRV};
use simple_dns::{CLASS, Name, Packet, QTYPE, RCODE, ResourceRecord, TYPE};

/// What is known of one name.
#[derive(Clone, Default)]
pub(crate) struct Known {
    pub(crate) addresses: Vec<IpAddr>,
    /// Ports and targets.
    pub(crate) services: Vec<(u16, String)>,
}

#[derive(Default)]
struct Zone {
    names: BTreeMap<String, Known>,
    fails: bool,
}

/// See the [module](self). Its thread ends with the test's process.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let zone: Arc<Mutex<Zone>> = Arc::default();
        let answering = Arc::clone(&zone);
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = answer(&buffer[..length], &answering.lock().unwrap()) {
                    socket.send_to(&answer, client).unwrap();
                }
            }
        });
        Self { address, zone }
    }

    /// A host has these addresses from now on.
    pub(crate) fn host(&self, name: &str, addresses: &[&str]) {
        let mut zone = self.zone.lock().unwrap();
        let known = zone.names.entry(name.to_owned()).or_default();
        known.addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
    }

    /// A service has these ports and targets from now on.
    pub(crate) fn service(&self, name: &str, targets: &[(u16, &str)]) {
        let mut zone = self.zone.lock().unwrap();
        let known = zone.names.entry(name.to_owned()).or_default();
        known.services = targets
            .iter()
            .map(|(port, target)| (*port, (*target).to_owned()))
            .collect();
    }

    /// Nobody knows anything, or does again.
    pub(crate) fn fail(&self, fails: bool) {
        self.zone.lock().unwrap().fails = fails;
    }
}

fn answer(query: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let query = Packet::parse(query).ok()?;
    let mut reply = query.clone().into_reply();
    let question = query.questions.first()?;
    let name = question.qname.to_string();
    if zone.fails {
        *reply.rcode_mut() = RCODE::ServerFailure;
        return reply.build_bytes_vec().ok();
    }
    let Some(known) = zone.names.get(&name) else {
        *reply.rcode_mut() = RCODE::NameError;
        return reply.build_bytes_vec().ok();
    };
    let mut add = |data: RData<'static>| {
        let owner = Name::new(&name).unwrap().into_owned();
        reply
            .answers
            .push(ResourceRecord::new(owner, CLASS::IN, 1, data));
    };
    for address in &known.addresses {
        match (address, question.qtype) {
            (IpAddr::V4(ip), QTYPE::TYPE(TYPE::A)) => add(RData::A(A::from(*ip))),
            (IpAddr::V6(ip), QTYPE::TYPE(TYPE::AAAA)) => add(RData::AAAA(AAAA::from(*ip))),
            _ => {}
        }
    }
    if question.qtype == QTYPE::TYPE(TYPE::SRV) {
        for (port, target) in &known.services {
            add(RData::SRV(SRV {
                priority: 0,
                weight: 0,
                port: *port,
                target: Name::new(target).unwrap().into_owned(),
            }));
        }
    }
    reply.build_bytes_vec().ok()
}

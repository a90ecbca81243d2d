//! Records of sockets whose address is translated. They are about no packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_filter::TcpFlags;

use crate::{
    assemble::{Assembler, Surroundings, cilium::put_known},
    decode::cilium::{SocketProtocol, TraceSockNotify},
    enrich::{End, Told},
    record::{FlowRecord, Ip, Observation, PacketHeaders, Transport},
    ring::Event,
    rules,
};

impl Assembler {
    /// The record tells the other side of the socket, and not who has it: the agent knows that by
    /// the cgroup.
    pub(super) fn datapath_socket<'events>(
        &mut self,
        notify: &TraceSockNotify,
        around: &Surroundings,
        events: &'events mut Vec<Event>,
    ) -> Option<&'events mut FlowRecord> {
        let unspecified: IpAddr = if notify.is_ipv6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let peer = notify.destination.unwrap_or(unspecified);
        let mut party = |address| {
            let end = End {
                address,
                identity: 0,
                number: Told::Nothing,
            };
            self.cilium.endpoints.party(&around.snapshot, end).0
        };
        let (own, other) = (party(None), party(notify.destination));
        let is_reverse = rules::is_reverse_translation(notify.point);
        let ((source, source_port), (destination, destination_port)) = in_order(
            is_reverse,
            (unspecified, 0),
            (peer, notify.destination_port),
        );
        let transport = match notify.protocol {
            SocketProtocol::Tcp => Some(Transport::Tcp {
                source_port,
                destination_port,
                flags: TcpFlags::default(),
            }),
            SocketProtocol::Udp => Some(Transport::Udp {
                source_port,
                destination_port,
            }),
            SocketProtocol::Unknown => None,
        };
        let headers = PacketHeaders {
            ip: Some(Ip {
                source,
                destination,
            }),
            transport,
            ..PacketHeaders::default()
        };
        let observation = Observation::Socket {
            point: notify.point,
            cgroup_id: notify.cgroup_id,
        };
        let mut parties = in_order(is_reverse, own, other);
        let snapshot = &*around.snapshot;
        let known = (snapshot.look_up(source), snapshot.look_up(destination));
        put_known(snapshot, &headers, known, &mut parties);
        let flow = self.begin(events, around.now_ns, observation, &headers, parties)?;
        flow.socket_cookie = notify.cookie;
        Some(flow)
    }
}

fn in_order<T>(is_reverse: bool, own: T, other: T) -> (T, T) {
    if is_reverse {
        (other, own)
    } else {
        (own, other)
    }
}

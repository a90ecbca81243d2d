//! Records of sockets whose address is translated. They are about no packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_filter::TcpFlags;

use crate::{
    assemble::{Assembler, Surroundings},
    decode::cilium::{SocketProtocol, TraceSockNotify},
    record::{FlowRecord, Ip, Observation, PacketHeaders, Transport},
    rules,
};

impl Assembler {
    /// The record tells the other side of the socket, and not who has it: the agent knows that by
    /// the cgroup.
    pub(super) fn datapath_socket(
        &mut self,
        notify: &TraceSockNotify,
        around: &Surroundings,
    ) -> FlowRecord {
        let unspecified: IpAddr = if notify.is_ipv6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let peer = notify.destination.unwrap_or(unspecified);
        let own = self.cilium.endpoints.party(&around.snapshot, None, 0);
        let other = self
            .cilium
            .endpoints
            .party(&around.snapshot, notify.destination, 0);
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
        let (source, destination) = in_order(is_reverse, own, other);
        let observation = Observation::Socket {
            point: notify.point,
            cgroup_id: notify.cgroup_id,
        };
        FlowRecord {
            socket_cookie: notify.cookie,
            ..self.flow(around.now_ns, observation, headers, source, destination)
        }
    }
}

fn in_order<T>(is_reverse: bool, own: T, other: T) -> (T, T) {
    if is_reverse {
        (other, own)
    } else {
        (own, other)
    }
}

//! Packets within packets.

use super::*;

#[test]
fn a_tunnel_shows_the_inner_packet_and_keeps_the_outer_ends() {
    let inner = tcp6_packet();
    for (port, payload, protocol) in [
        (4789, vxlan(&inner), TunnelProtocol::Vxlan),
        (8472, vxlan(&inner), TunnelProtocol::Vxlan),
        (6081, geneve(0x6558, &inner), TunnelProtocol::Geneve),
        (6081, geneve(0x86dd, &inner[14..]), TunnelProtocol::Geneve),
    ] {
        let packet = ethernet(0x0800, &ipv4(17, &udp(port, &payload)));
        let with_flag = dissect_as_hubble(&packet, Start::Ethernet, Some(protocol));
        for dissected in [own(&packet), with_flag.unwrap()] {
            let expected = Tunnel {
                protocol,
                vni: 0x0102,
                ip: ipv4_ends().unwrap(),
                transport: udp_to(port).unwrap(),
            };
            assert_eq!(dissected.tunnel, Some(expected));
            assert_eq!(dissected.headers.transport, tcp_syn_ack());
            assert_eq!(dissected.headers.ip.unwrap().source.to_string(), "fd00::1");
        }
        // Without the record's word, Hubble does not look.
        let plain = hubble(&packet).unwrap();
        assert_eq!(plain.tunnel, None);
        assert_eq!(plain.headers.transport, udp_to(port));
    }
}

#[test]
fn a_tunnel_within_a_tunnel_stays_closed() {
    let innermost = ethernet(0x0800, &ipv4(17, &udp(8472, &vxlan(&tcp6_packet()))));
    let packet = ethernet(0x0800, &ipv4(17, &udp(4789, &vxlan(&innermost))));
    let dissected = own(&packet);
    let tunnel = dissected.tunnel.unwrap();
    assert_eq!(tunnel.transport, udp_to(4789).unwrap());
    assert_eq!(dissected.headers.transport, udp_to(8472));
}

#[test]
fn of_a_tunnel_with_nothing_known_inside_only_the_tunnel_stays() {
    let unknown = ethernet(0x0800, &ipv4(17, &udp(6081, &geneve(0x1234, b"what"))));
    let empty = ethernet(0x0800, &ipv4(17, &udp(6081, &geneve(0x0800, &[]))));
    let geneve = Some(TunnelProtocol::Geneve);
    for packet in [unknown, empty] {
        let with_flag = dissect_as_hubble(&packet, Start::Ethernet, geneve).unwrap();
        for Dissected {
            headers, tunnel, ..
        } in [own(&packet), with_flag]
        {
            assert!(tunnel.is_some());
            let rest = (headers.ethernet, headers.ip, headers.transport);
            assert_eq!(rest, (None, None, None));
        }
    }
}

#[test]
fn what_only_uses_a_tunnels_port_is_not_taken_for_one() {
    for payload in [&b"hello, world"[..], &[], &[8, 0, 0]] {
        let packet = ethernet(0x0800, &ipv4(17, &udp(8472, payload)));
        let dissected = own(&packet);
        assert_eq!(dissected.headers.transport, udp_to(8472));
        assert_eq!((dissected.tunnel, dissected.fault), (None, None));
        assert_eq!(&packet[dissected.payload], payload);
    }
}

#[test]
fn hubbles_error_within_a_tunnel_says_so() {
    let overlay = Some(TunnelProtocol::Vxlan);
    for (payload, error) in [
        (vec![8, 0, 0], PacketError::OverlayShort { layer: "VXLAN" }),
        (
            vxlan(&tcp6_packet()[..30]),
            PacketError::OverlayShort { layer: "IPv6" },
        ),
    ] {
        let packet = ethernet(0x0800, &ipv4(17, &udp(8472, &payload)));
        let result = dissect_as_hubble(&packet, Start::Ethernet, overlay);
        assert_eq!(result, Err(error));
        assert!(error.to_string().starts_with("overlay: "), "{error}");
    }
    let packet = ethernet(0x0800, &ipv4(17, &udp(8472, &[])));
    let headers = dissect_as_hubble(&packet, Start::Ethernet, overlay).unwrap();
    assert_eq!(headers.headers.transport, udp_to(8472));
}

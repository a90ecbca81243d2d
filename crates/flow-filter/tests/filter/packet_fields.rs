//! Fields about the packet and what became of it.

use flow_api::flow::{
    self, DropReason, Flow, FlowFilter, Ip, IpTraceId, IpVersion, NetworkInterface, TcpFlags,
    TraceContext, TraceParent, TrafficDirection, Verdict, layer4,
};

use crate::flows::{event_type, filter, flow, matches, of_type, strings, tcp, with_ip, with_l4};

#[test]
fn uuid_is_exact() {
    let flow = flow(|flow| flow.uuid = "a-1".into());
    for (uuids, expected) in [(&["a-1"][..], true), (&["b", "a-1"], true), (&["a"], false)] {
        assert_eq!(
            matches(&filter(|f| f.uuid = strings(uuids)), &flow),
            expected,
            "{uuids:?}"
        );
    }
    assert!(matches(
        &filter(|f| f.uuid = strings(&[""])),
        &Flow::default()
    ));
}

#[test]
fn event_type_needs_a_flow_that_has_one() {
    let drops = filter(|f| f.event_type = vec![event_type(1)]);
    assert!(matches(&drops, &of_type(1, 133)));
    assert!(!matches(&drops, &of_type(4, 0)));
    let any = filter(|f| f.event_type = vec![event_type(0)]);
    assert!(matches(&any, &of_type(4, 0)));
    assert!(!matches(&any, &Flow::default()));
}

#[test]
fn drop_reason_counts_for_dropped_flows_only() {
    let denied = filter(|f| f.drop_reason_desc = vec![DropReason::PolicyDenied.into()]);
    let mut flow = flow(|flow| flow.drop_reason_desc = DropReason::PolicyDenied.into());
    assert!(!matches(&denied, &flow));
    flow.verdict = Verdict::Dropped.into();
    assert!(matches(&denied, &flow));
    flow.drop_reason_desc = DropReason::VlanFiltered.into();
    assert!(!matches(&denied, &flow));
}

#[test]
fn reply_is_unknown_without_is_reply_unless_dropped() {
    for (is_reply, verdict, wanted, expected) in [
        (Some(true), Verdict::Forwarded, vec![true], true),
        (Some(true), Verdict::Forwarded, vec![false], false),
        (Some(false), Verdict::Forwarded, vec![true, false], true),
        (None, Verdict::Forwarded, vec![true, false], false),
        (None, Verdict::Dropped, vec![false], true),
        (None, Verdict::Dropped, vec![true], false),
        (Some(true), Verdict::Dropped, vec![false], false),
    ] {
        let flow = flow(|flow| {
            flow.is_reply = is_reply;
            flow.verdict = verdict.into();
        });
        let matched = matches(&filter(|f| f.reply = wanted), &flow);
        assert_eq!(matched, expected, "{is_reply:?} {verdict:?}");
    }
}

#[test]
fn encrypted_is_false_without_ip() {
    let encrypted = with_ip(Ip {
        encrypted: true,
        ..Ip::default()
    });
    for (wanted, flow, expected) in [
        (true, &encrypted, true),
        (false, &encrypted, false),
        (false, &Flow::default(), true),
    ] {
        assert_eq!(
            matches(&filter(|f| f.encrypted = vec![wanted]), flow),
            expected
        );
    }
}

#[test]
fn ip_is_by_side_and_needs_an_address() {
    let flow = with_ip(Ip {
        source: "10.0.0.1".into(),
        source_xlated: "192.0.2.1".into(),
        destination: "fd00::1".into(),
        ..Ip::default()
    });
    type Change = fn(&mut FlowFilter);
    let cases: [(Change, bool); 7] = [
        (|f| f.source_ip = strings(&["10.0.0.1"]), true),
        (|f| f.source_ip = strings(&["10.0.0.2", "10.0.0.0/8"]), true),
        (|f| f.source_ip = strings(&["192.0.2.1"]), false),
        (|f| f.source_ip_xlated = strings(&["192.0.2.0/24"]), true),
        (|f| f.destination_ip = strings(&["fd00::/8"]), true),
        (|f| f.destination_ip = strings(&["FD00::1"]), false),
        (|f| f.destination_ip = strings(&["10.0.0.1"]), false),
    ];
    for (change, expected) in cases {
        assert_eq!(
            matches(&filter(change), &flow),
            expected,
            "{:?}",
            filter(change)
        );
    }
    let any = filter(|f| f.source_ip = strings(&["0.0.0.0/0", "::/0"]));
    assert!(!matches(&any, &Flow::default()));
    assert!(!matches(&any, &with_ip(Ip::default())));
}

#[test]
fn port_is_that_of_tcp_udp_or_sctp() {
    let to_53 = filter(|f| f.destination_port = strings(&["80", "53"]));
    let udp = flow::Udp {
        source_port: 9,
        destination_port: 53,
    };
    let sctp = flow::Sctp {
        source_port: 9,
        destination_port: 53,
    };
    assert!(matches(&to_53, &with_l4(tcp(9, 53))));
    assert!(matches(&to_53, &with_l4(layer4::Protocol::Udp(udp))));
    assert!(matches(&to_53, &with_l4(layer4::Protocol::Sctp(sctp))));
    assert!(!matches(&to_53, &with_l4(tcp(53, 9))));
    assert!(!matches(&to_53, &Flow::default()));
    // The message has 32 bits for a port, of which 16 count.
    assert!(matches(&to_53, &with_l4(tcp(9, 0x1_0000 + 53))));
    let from_0 = filter(|f| f.source_port = strings(&["0"]));
    assert!(matches(&from_0, &with_l4(tcp(0, 9))));
    assert!(!matches(
        &from_0,
        &with_l4(layer4::Protocol::IcmPv4(flow::IcmPv4::default()))
    ));
}

#[test]
fn tcp_flags_of_the_flow_may_be_more_than_those_asked_for() {
    let flags = |syn, ack, ns| TcpFlags {
        syn,
        ack,
        ns,
        ..TcpFlags::default()
    };
    let with_flags = |flags| {
        with_l4(layer4::Protocol::Tcp(flow::Tcp {
            flags,
            ..flow::Tcp::default()
        }))
    };
    let syn_ack = with_flags(Some(flags(true, true, false)));
    for (wanted, expected) in [
        (flags(true, false, false), true),
        (flags(true, true, false), true),
        (flags(false, false, false), true),
        (flags(true, false, true), false),
    ] {
        assert_eq!(
            matches(&filter(|f| f.tcp_flags = vec![wanted]), &syn_ack),
            expected
        );
    }
    let any = filter(|f| f.tcp_flags = vec![TcpFlags::default()]);
    assert!(matches(&any, &with_flags(Some(TcpFlags::default()))));
    assert!(!matches(&any, &with_flags(None)));
    assert!(!matches(
        &any,
        &with_l4(layer4::Protocol::Udp(flow::Udp::default()))
    ));
}

#[test]
fn enums_are_compared_as_numbers() {
    let flow = flow(|flow| {
        flow.verdict = 99;
        flow.traffic_direction = TrafficDirection::Ingress.into();
        flow.ip = Some(Ip {
            ip_version: IpVersion::IPv6.into(),
            ..Ip::default()
        });
    });
    type Change = fn(&mut FlowFilter);
    let cases: [(Change, bool); 6] = [
        (|f| f.verdict = vec![99], true),
        (|f| f.verdict = vec![0], false),
        (
            |f| f.traffic_direction = vec![TrafficDirection::Ingress.into()],
            true,
        ),
        (
            |f| f.traffic_direction = vec![TrafficDirection::Egress.into()],
            false,
        ),
        (
            |f| f.ip_version = vec![IpVersion::IPv4.into(), IpVersion::IPv6.into()],
            true,
        ),
        (|f| f.ip_version = vec![IpVersion::IpNotUsed.into()], false),
    ];
    for (change, expected) in cases {
        assert_eq!(
            matches(&filter(change), &flow),
            expected,
            "{:?}",
            filter(change)
        );
    }
    let no_ip = filter(|f| f.ip_version = vec![IpVersion::IpNotUsed.into()]);
    assert!(matches(&no_ip, &Flow::default()));
}

#[test]
fn trace_ids_are_exact_and_may_be_asked_to_be_absent() {
    let flow = flow(|flow| {
        let parent = Some(TraceParent {
            trace_id: "4bf9".into(),
        });
        flow.trace_context = Some(TraceContext { parent });
        flow.ip_trace_id = Some(IpTraceId {
            trace_id: 7,
            ..IpTraceId::default()
        });
    });
    let trace_id = |id: &str| filter(|f| f.trace_id = strings(&[id]));
    let ip_trace_id = |id| filter(|f| f.ip_trace_id = vec![id]);
    for (wanted, on_flow, on_none) in [
        (trace_id("4bf9"), true, false),
        (trace_id("4bf"), false, false),
        (trace_id(""), false, true),
        (ip_trace_id(7), true, false),
        (ip_trace_id(8), false, false),
        (ip_trace_id(0), false, true),
    ] {
        assert_eq!(matches(&wanted, &flow), on_flow, "{wanted:?}");
        assert_eq!(matches(&wanted, &Flow::default()), on_none, "{wanted:?}");
    }
}

#[test]
fn interface_is_by_index_and_name_where_given() {
    let interface = |index, name: &str| NetworkInterface {
        index,
        name: name.into(),
    };
    let flow = flow(|flow| flow.interface = Some(interface(4, "eth0")));
    for (wanted, expected) in [
        (interface(4, "eth0"), true),
        (interface(4, ""), true),
        (interface(0, "eth0"), true),
        (interface(0, ""), true),
        (interface(5, "eth0"), false),
        (interface(4, "eth"), false),
    ] {
        let wanted = filter(|f| f.interface = vec![wanted]);
        assert_eq!(matches(&wanted, &flow), expected, "{wanted:?}");
        assert!(!matches(&wanted, &Flow::default()));
    }
}

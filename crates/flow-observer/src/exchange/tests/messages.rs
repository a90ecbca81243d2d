//! What is told of messages.

use flow_api::flow::{Flow, FlowType, L7FlowType, Verdict, layer4::Protocol};
use probe_events::TracePoint;
use proptest::prelude::*;
use simple_dns::{
    CLASS, Name, Packet, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
    rdata::{A, AAAA, CNAME, RData},
};

use super::*;
use crate::{
    exchange::Options,
    layer7::{HeaderRule, Redaction},
};

const RESOLVER: &str = "10.96.0.10:53";

/// What one connection of the client tells: a direction's first byte counts 1,000 for the client
/// and 5,000 for the server, and each segment comes a millisecond after the one before.
fn conversation(node: &mut Node, segments: &[(bool, &str)]) -> Vec<Flow> {
    let (mut asked, mut answered) = (1_000, 5_000);
    let packets: Vec<_> = segments
        .iter()
        .zip(10..)
        .map(|(&(is_answer, text), at_ms)| {
            let len = text.len() as u32;
            if is_answer {
                answered += len;
                let position = (answered - len, asked);
                seen(ToEndpoint, 1, at_ms, &tcp(WORLD, CLIENT, position, text))
            } else {
                asked += len;
                let position = (asked - len, answered);
                seen(FromEndpoint, 1, at_ms, &tcp(CLIENT, WORLD, position, text))
            }
        })
        .collect();
    node.see(&packets)
}

fn lines_of(segments: &[(bool, &str)]) -> Vec<String> {
    let flows = conversation(&mut Node::new(), segments);
    lines(&flows).into_iter().map(str::to_owned).collect()
}

#[test]
#[expect(deprecated, reason = "the fields are still served")]
fn a_message_has_the_ends_of_its_packet_and_nothing_of_its_trace_point() {
    let flows = conversation(&mut Node::new(), &[(false, GET), (true, OK)]);
    let [request, response] = &flows[..] else {
        panic!("{flows:?}");
    };
    for (flow, is_reply, kind) in [
        (request, false, L7FlowType::Request),
        (response, true, L7FlowType::Response),
    ] {
        assert_eq!(flow.r#type(), FlowType::L7);
        assert_eq!(flow.verdict(), Verdict::Forwarded);
        assert_eq!((flow.is_reply, flow.reply), (Some(is_reply), is_reply));
        assert_eq!(flow.l7.as_ref().unwrap().r#type(), kind);
        let event_type = flow.event_type.unwrap();
        assert_eq!((event_type.r#type, event_type.sub_type), (129, 0));
        let Some(Protocol::Tcp(tcp)) = &flow.l4.as_ref().unwrap().protocol else {
            panic!("no TCP: {flow:?}");
        };
        assert_eq!(tcp.flags, None);
        assert_eq!(flow.node_name, "n1");
        assert_eq!(flow.uuid.len(), 36);
        assert_eq!(flow.trace_observation_point, 0);
        assert_eq!(flow.trace_reason, 0);
        assert!(flow.interface.is_none() && flow.ethernet.is_none() && flow.socket_cookie == 0);
    }
    assert_ne!(request.uuid, response.uuid);
    assert_eq!(request.source.as_ref().unwrap().pod_name, "client-0");
    assert_eq!(request.destination.as_ref().unwrap().identity, 2);
    assert_eq!(request.source, response.destination);
    assert_eq!((latency_ns(request), latency_ns(response)), (0, 1_000_000));
    let time = |flow: &Flow| flow.time.unwrap().nanos;
    assert_eq!(time(response) - time(request), 1_000_000);
    assert_eq!((http(request).code, http(response).code), (0, 200));
    assert_eq!(http(response).protocol, "HTTP/1.1");
}

#[test]
fn responses_on_one_connection_are_those_to_its_requests_in_order() {
    let head = "HEAD /b HTTP/1.1\r\nHost: shop\r\n\r\n";
    let post = "POST /c HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    // To HEAD: a length, and no body.
    let empty = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    let asked = [GET, head, post].concat();
    let answered = [OK, empty, chunked].concat();
    let expected = [
        "HTTP/1.1 GET http://shop/cart",
        "HTTP/1.1 HEAD http://shop/b",
        "HTTP/1.0 POST /c",
        "HTTP/1.1 200 1ms (GET http://shop/cart)",
        "HTTP/1.1 200 1ms (HEAD http://shop/b)",
        "HTTP/1.1 404 1ms (POST /c)",
    ];
    // Pipelined, all in one packet; and one after the other.
    let pipelined = lines_of(&[(false, &asked), (true, &answered)]);
    assert_eq!(pipelined, expected);
    let kept_alive = lines_of(&[
        (false, GET),
        (true, OK),
        (false, head),
        (true, empty),
        (false, post),
        (true, chunked),
    ]);
    assert_eq!(kept_alive, [0, 3, 1, 4, 2, 5].map(|at| expected[at]));
}

#[test]
fn interim_responses_are_told_and_the_final_one_still_knows_its_request() {
    let upload = "PUT /f HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n";
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(
        lines_of(&[(false, upload), (true, interim), (true, OK)]),
        [
            "HTTP/1.1 PUT /f",
            "HTTP/1.1 100 1ms (PUT /f)",
            "HTTP/1.1 200 2ms (PUT /f)",
        ]
    );
}

#[test]
fn what_follows_another_protocol_or_a_tunnel_is_not_read() {
    let upgrade = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    let switched = format!("HTTP/1.1 101 Switching Protocols\r\n\r\n{OK}");
    assert_eq!(
        lines_of(&[(false, upgrade), (true, &switched)]),
        ["HTTP/1.1 GET /ws", "HTTP/1.1 101 1ms (GET /ws)"]
    );
    let connect = format!("CONNECT a.example:443 HTTP/1.1\r\n\r\n{GET}");
    let connected = format!("HTTP/1.1 200 OK\r\n\r\n{OK}");
    assert_eq!(
        lines_of(&[(false, &connect), (true, &connected)]),
        [
            "HTTP/1.1 CONNECT a.example:443",
            "HTTP/1.1 200 1ms (CONNECT a.example:443)",
        ]
    );
    assert!(lines_of(&[(false, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")]).is_empty());
}

#[test]
fn a_head_that_was_cut_tells_what_is_there() {
    let mut node = Node::new();
    let cut = "GET /a HTTP/1.1\r\nHost: shop\r\nAccept: text/ht";
    let flows = conversation(&mut node, &[(false, cut)]);
    assert_eq!(lines(&flows), ["HTTP/1.1 GET http://shop/a"]);
    assert_eq!(http(&flows[0]).headers.len(), 1);
    assert_eq!(node.counted("request_line_cut"), 0);
    assert!(conversation(&mut node, &[(false, "GET /long")]).is_empty());
    assert_eq!(node.counted("request_line_cut"), 1);
}

#[test]
fn a_response_to_nothing_known_is_told_without_a_request_and_counted() {
    let mut node = Node::new();
    let flows = conversation(&mut node, &[(true, OK)]);
    assert_eq!(http(&flows[0]).code, 200);
    assert_eq!((&*http(&flows[0]).url, latency_ns(&flows[0])), ("", 0));
    assert_eq!(node.counted("response_without_request"), 1);
}

#[test]
fn headers_are_sorted_and_secrets_stay_on_the_wire() {
    let text = "GET /a?token=s3cret&page=2 HTTP/1.1\r\nx-b: 2\r\nhost: shop\r\nX-B: 1\r\n\
                authorization: Bearer s3cret\r\nCookie: id=s3cret\r\nX-A: caf\u{e9}\r\n\r\n";
    let mut bytes = text.as_bytes().to_vec();
    // The same letter in an encoding that is not UTF-8.
    let at = bytes
        .windows(2)
        .position(|it| it == "é".as_bytes())
        .unwrap();
    bytes.splice(at..at + 2, [0xe9]);
    let answer = "HTTP/1.1 302 Found\r\nSet-Cookie: id=s3cret\r\nContent-Length: 0\r\n\r\n";
    let mut node = Node::new();
    let flows = node.see(&[
        seen(FromEndpoint, 1, 10, &tcp(CLIENT, WORLD, ASK, &bytes)),
        seen(
            ToEndpoint,
            1,
            11,
            &tcp(WORLD, CLIENT, (5_000, 1_400), answer),
        ),
    ]);
    let headers: Vec<_> = http(&flows[0])
        .headers
        .iter()
        .map(|it| (&*it.key, &*it.value))
        .collect();
    assert_eq!(
        headers,
        [
            ("Authorization", "HUBBLE_REDACTED"),
            ("Cookie", "HUBBLE_REDACTED"),
            ("Host", "shop"),
            ("X-A", "caf\u{fffd}"),
            ("X-B", "2"),
            ("X-B", "1"),
        ]
    );
    let url = "http://shop/a?token=HUBBLE_REDACTED&page=HUBBLE_REDACTED";
    assert_eq!(http(&flows[0]).url, url);
    assert_eq!(http(&flows[1]).url, url);
    assert!(!format!("{flows:?}").contains("s3cret"));
}

#[test]
fn what_is_not_redacted_is_shown_and_what_is_off_is_not_told() {
    let mut node = Node::with(Options {
        redaction: Redaction {
            url_query: false,
            headers: HeaderRule::Deny(vec!["x-mine".to_owned()]),
            ..Redaction::default()
        },
        ..Options::default()
    });
    let request = "GET /a?b=c HTTP/1.1\r\nCookie: d\r\nX-Mine: e\r\n\r\n";
    let flows = conversation(&mut node, &[(false, request)]);
    assert_eq!(http(&flows[0]).url, "/a?b=c");
    let values: Vec<_> = http(&flows[0])
        .headers
        .iter()
        .map(|it| &*it.value)
        .collect();
    assert_eq!(values, ["d", "HUBBLE_REDACTED"]);

    let query = seen(FromEndpoint, 1, 10, &udp(CLIENT, RESOLVER, &query(7)));
    for (dns, http) in [(true, false), (false, true), (false, false)] {
        let mut node = Node::with(Options {
            dns,
            http,
            ..Options::default()
        });
        assert_eq!(
            conversation(&mut node, &[(false, GET)]).len(),
            usize::from(http)
        );
        assert_eq!(
            node.see(std::slice::from_ref(&query)).len(),
            usize::from(dns)
        );
    }
}

#[test]
fn request_and_response_belong_to_the_trace_of_the_request() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = format!("GET / HTTP/1.1\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n");
    let flows = conversation(&mut Node::new(), &[(false, &request), (true, OK)]);
    for flow in &flows {
        let parent = flow.trace_context.as_ref().unwrap().parent.as_ref();
        assert_eq!(parent.unwrap().trace_id, TRACE);
    }
    assert_eq!(flows.len(), 2);
}

fn question(kind: TYPE) -> Question<'static> {
    // In the random case that some resolvers write.
    let name = Name::new("wWw.Example.com").unwrap();
    Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false)
}

fn query(id: u16) -> Vec<u8> {
    let mut packet = Packet::new_query(id);
    packet.questions.push(question(TYPE::A));
    packet.build_bytes_vec_compressed().unwrap()
}

fn answer(id: u16) -> Vec<u8> {
    let mut packet = Packet::new_reply(id);
    packet.questions.push(question(TYPE::A));
    let alias = RData::CNAME(CNAME(Name::new("web.example.com").unwrap()));
    let address = RData::A(A {
        address: 0xc000_0201,
    });
    let other = RData::AAAA(AAAA { address: 1 });
    for (owner, ttl, data) in [
        ("www.example.com", 300, alias),
        ("web.example.com", 60, address.clone()),
        ("web.example.com", 61, address),
        ("web.example.com", 62, other),
    ] {
        let owner = Name::new(owner).unwrap();
        let record = ResourceRecord::new(owner, CLASS::IN, ttl, data);
        packet.answers.push(record);
    }
    packet.build_bytes_vec_compressed().unwrap()
}

#[test]
fn dns_tells_question_answer_and_how_long_it_took() {
    let mut failed = Packet::new_reply(8);
    failed.questions.push(question(TYPE::AAAA));
    *failed.rcode_mut() = RCODE::NameError;
    let failed = failed.build_bytes_vec_compressed().unwrap();
    let mut node = Node::new();
    let flows = node.see(&[
        seen(FromEndpoint, 1, 10, &udp(CLIENT, RESOLVER, &query(7))),
        seen(ToEndpoint, 1, 13, &udp(RESOLVER, CLIENT, &answer(7))),
        seen(ToEndpoint, 1, 14, &udp(RESOLVER, CLIENT, &failed)),
    ]);
    assert_eq!(
        lines(&flows),
        [
            "DNS Query www.example.com. A",
            "DNS Answer \"192.0.2.1,192.0.2.1,::1\" CNAMEs: \"web.example.com.\" TTL: 60 \
             (Query www.example.com. A)",
            "DNS Answer RCode: Non-Existent Domain TTL: 0 (Query www.example.com. AAAA)",
        ]
    );
    let latencies: Vec<_> = flows.iter().map(latency_ns).collect();
    assert_eq!(latencies, [0, 3_000_000, 0]);
    assert_eq!(dns(&flows[0]).observation_source, "passive");
    assert_eq!(dns(&flows[1]).rrtypes, ["CNAME", "A", "AAAA"]);
    assert_eq!(dns(&flows[2]).rcode, 3);
    assert_eq!(node.counted("response_without_request"), 1);
}

#[test]
fn a_question_that_is_asked_again_at_once_is_the_same_and_later_another() {
    let packets: Vec<_> = [10, 400, 5_400]
        .map(|at_ms| seen(FromEndpoint, 1, at_ms, &udp(CLIENT, RESOLVER, &query(7))))
        .into();
    assert_eq!(Node::new().see(&packets).len(), 2);
    let others: Vec<_> = [7, 8]
        .map(|id| seen(FromEndpoint, 1, 10, &udp(CLIENT, RESOLVER, &query(id))))
        .into();
    assert_eq!(Node::new().see(&others).len(), 2);
}

#[test]
fn a_segment_may_hold_several_dns_messages() {
    let framed = |message: Vec<u8>| [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    let asked = [framed(query(1)), framed(query(2))].concat();
    let answered = [framed(answer(2)), framed(answer(1))].concat();
    let mut node = Node::new();
    let flows = node.see(&[
        seen(FromEndpoint, 1, 10, &tcp(CLIENT, RESOLVER, ASK, asked)),
        seen(ToEndpoint, 1, 12, &tcp(RESOLVER, CLIENT, ANSWER, answered)),
    ]);
    let latencies: Vec<_> = flows.iter().map(latency_ns).collect();
    assert_eq!(latencies, [0, 0, 2_000_000, 2_000_000]);
    assert_eq!(node.counted("response_without_request"), 0);
}

fn point() -> impl Strategy<Value = TracePoint> {
    prop::sample::select(vec![
        FromEndpoint,
        ToEndpoint,
        FromNetwork,
        ToNetwork,
        FromHost,
        ToHost,
    ])
}

proptest! {
    #[test]
    fn whatever_packets_hold_tables_stay_bounded(
        packets in prop::collection::vec(
            (point(), 0u64..5_000, any::<u32>(), any::<u16>(), any::<bool>(),
             prop::collection::vec(prop::sample::select(vec![
                &b"GET "[..], b"/a", b" HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"\r\n", b"\r\n\r\n",
                b"Content-Length: ", b"0", b"99999999999999999999", b"Transfer-Encoding: chunked",
                b"ffffffffffffffff", b"\xff\xfe", b"traceparent: 00-", b"\0\0\x01\0\0\x01\0\0",
                b"Host: a", b"HEAD ", b"CONNECT ", b"?a=b#c", b"://u:p@h",
             ]), 0..24)),
            0..60,
        ),
        rounds in 1u8..3,
    ) {
        let mut node = Node::new();
        for _ in 0..rounds {
            let batch: Vec<_> = packets.iter().map(|(point, at_ms, sequence, port, is_dns, parts)| {
                let other = if *is_dns { "203.0.113.5:53" } else { WORLD };
                let own = format!("10.0.1.7:{port}");
                let payload = parts.concat();
                let packet = if *is_dns && sequence % 2 == 0 {
                    udp(&own, other, &payload)
                } else if sequence % 3 == 0 {
                    tcp(other, &own, (*sequence, 7), payload)
                } else {
                    tcp(&own, other, (*sequence, 9), payload)
                };
                seen(*point, 1, *at_ms, &packet)
            }).collect();
            node.see(&batch);
        }
        prop_assert!(node.tables_are_bounded());
    }
}

#[test]
fn a_flood_of_requests_that_nobody_answers_is_forgotten_and_counted() {
    let mut node = Node::new();
    for number in 0..30_000u32 {
        let client = format!(
            "203.0.{}.{}:{}",
            number >> 8 & 0x7f,
            number & 0xff,
            1_024 + number
        );
        let ask = tcp(&client, HOST, ASK, GET);
        node.see(&[seen(FromNetwork, 3, u64::from(number), &ask)]);
    }
    assert!(node.tables_are_bounded());
    assert_eq!(node.counted("request_forgotten"), 20_000);
}

//! Packets at the places of a node in, flows of layer 7 out.

mod messages;
mod node;
mod places;

use flow_api::flow::TrafficDirection;
use node::{
    CLIENT, HOST, Node, REMOTE, SERVER, Seen, WORLD, dns, http, latency_ns, lines, seen, tcp, udp,
};
use probe_events::TracePoint::{
    FromEndpoint, FromHost, FromNetwork, FromStack, ToEndpoint, ToHost, ToNetwork, ToStack,
};

const GET: &str = "GET /cart HTTP/1.1\r\nHost: shop\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ASKED: &str = "HTTP/1.1 GET http://shop/cart";

/// Where the request of a connection is, and its response.
const ASK: (u32, u32) = (1_000, 5_000);
const ANSWER: (u32, u32) = (5_000, 1_100);

//! What an application says in a packet: which name is asked for, which server is meant.
//!
//! In: the transport header, and the bytes after it as far as they were captured. Out: an
//! [`Application`], which borrows them; [`ApplicationSummary`] is what can be kept of it. To
//! [`parse`], each packet stands alone; [`Beginnings`] puts together what begins in one and ends in
//! another. Nothing here allocates per packet, but for what a [`Scratch`] grows to and for what waits
//! for its end.

mod beginnings;
pub mod dns;
mod error;
pub mod http;
pub mod quic;
mod reader;
mod summary;
pub mod tls;

pub use beginnings::{Beginnings, Heard, Piece, Stream};
pub use error::{PayloadError, Protocol};
pub use summary::ApplicationSummary;

use crate::record::Transport;

/// The one protocol that is known by its port, as it begins with nothing to know it by.
const PORT_DNS: u16 = 53;

/// What an application says in one packet.
#[derive(Clone, Copy, Debug)]
pub enum Application<'a> {
    /// A question about a name, or the answer.
    Dns(dns::Message<'a>),
    /// The head of a request.
    HttpRequest(http::Request<'a>),
    /// The head of a response.
    HttpResponse(http::Response<'a>),
    /// The beginning of a QUIC connection.
    Quic(quic::Initial<'a>),
    /// The beginning of a TLS connection.
    Tls(tls::ClientHello<'a>),
}

/// Room that parsing takes for what is not in one piece or encrypted; reused from packet to packet.
/// Never grows beyond three times the largest packet.
#[derive(Debug, Default)]
pub struct Scratch {
    quic: quic::Room,
    tls: Vec<u8>,
}

/// Tells what a payload says; `None` when it is of no protocol that is read.
///
/// # Errors
/// When the payload looks like a protocol and is too short to tell anything, or contradicts it.
pub fn parse<'a>(
    transport: &Transport,
    payload: &'a [u8],
    scratch: &'a mut Scratch,
) -> Result<Option<Application<'a>>, PayloadError> {
    if payload.is_empty() {
        return Ok(None);
    }
    match *transport {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        } => {
            if [source_port, destination_port].contains(&PORT_DNS) {
                return domain_names(payload, dns::Framing::Stream);
            }
            if tls::may_hold(payload) {
                return tls::parse(payload, &mut scratch.tls).map(|it| Some(Application::Tls(it)));
            }
            match http::may_hold(payload) {
                Some(http::Head::Request) => {
                    http::request(payload).map(|it| Some(Application::HttpRequest(it)))
                }
                Some(http::Head::Response) => {
                    http::response(payload).map(|it| Some(Application::HttpResponse(it)))
                }
                None => Ok(None),
            }
        }
        Transport::Udp {
            source_port,
            destination_port,
            ..
        } => {
            if [source_port, destination_port].contains(&PORT_DNS) {
                domain_names(payload, dns::Framing::Datagram)
            } else if quic::may_hold(payload) {
                quic::parse(payload, &mut scratch.quic).map(|it| Some(Application::Quic(it)))
            } else {
                Ok(None)
            }
        }
        _ => Ok(None),
    }
}

fn domain_names(
    payload: &[u8],
    framing: dns::Framing,
) -> Result<Option<Application<'_>>, PayloadError> {
    const OPCODE_QUERY: u8 = 0;

    let message = dns::parse(payload, framing)?;
    // Updates and notifications between servers name zones, not what anybody looks for.
    Ok((message.opcode() == OPCODE_QUERY).then_some(Application::Dns(message)))
}

#[cfg(test)]
mod tests;

//! The packet's headers.
//!
//! In: the captured bytes of one packet, and with which header they start. Out: [`PacketHeaders`]
//! and where the transport's payload lies. Walks link, network and transport headers, and stops
//! quietly at the first layer that it does not know: the flow then tells what was found so far.
//!
//! A packet whose headers do not add up is still a packet that somebody sent, and perhaps the very
//! reason why the kernel dropped it. So [`dissect`] tells the layers before the [`Dissected::fault`],
//! which is counted. [`dissect_as_hubble`], for Cilium's records, makes of the same bytes what
//! Hubble's parser makes of them, and there it is an error.
//!
//! Each header is bounds-checked once; nothing here allocates or panics.

mod cursor;
mod ip;
mod link;
#[cfg(test)]
pub(crate) mod tests;
mod transport;
mod tunnel;

use std::ops::Range;

use crate::record::{PacketHeaders, Transport, Tunnel, TunnelProtocol};
use cursor::Cursor;

/// Why a packet's bytes do not add up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The packet ends within a header.
    #[error("the packet ends within its {layer} header")]
    Short {
        /// The header.
        layer: &'static str,
    },
    /// A length, version or type in a header is impossible.
    #[error("impossible {layer} header")]
    Impossible {
        /// The header.
        layer: &'static str,
    },
    /// The packet within a tunnel ends within a header; [`dissect_as_hubble`] only.
    #[error("overlay: the packet ends within its {layer} header")]
    OverlayShort {
        /// The header.
        layer: &'static str,
    },
    /// A header within a tunnel is impossible; [`dissect_as_hubble`] only.
    #[error("overlay: impossible {layer} header")]
    OverlayImpossible {
        /// The header.
        layer: &'static str,
    },
}

impl PacketError {
    /// A short name for counters.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Short { .. } => "short_packet",
            Self::Impossible { .. } => "impossible_header",
            Self::OverlayShort { .. } => "short_overlay_packet",
            Self::OverlayImpossible { .. } => "impossible_overlay_header",
        }
    }

    /// The same, found inside a tunnel.
    fn in_overlay(self) -> Self {
        match self {
            Self::Short { layer } | Self::OverlayShort { layer } => Self::OverlayShort { layer },
            Self::Impossible { layer } | Self::OverlayImpossible { layer } => {
                Self::OverlayImpossible { layer }
            }
        }
    }
}

/// The first header of the captured bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// An Ethernet header.
    Ethernet,
    /// What this EtherType says; the link layer, of another kind, is already behind.
    EtherType(u16),
    /// IPv4 or IPv6, as its version says.
    Ip,
    /// An IPv4 header.
    Ipv4,
    /// An IPv6 header.
    Ipv6,
}

/// A network layer protocol that we know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Network {
    /// ARP or RARP.
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// A packet's headers, and what follows them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Dissected {
    /// What the (outer) link layer says is in it, whether that can be read or not.
    pub network: Option<Network>,
    /// The headers.
    pub headers: PacketHeaders,
    /// What was around these headers.
    pub tunnel: Option<Tunnel>,
    /// Where in the captured bytes the payload of the (inner) transport lies, without padding;
    /// empty when there is no transport or no payload.
    pub payload: Range<usize>,
    /// Where the payload begins in the sender's stream: TCP's sequence number, else 0.
    pub sequence: u32,
    /// The first byte that the sender has not received yet, in the other side's stream: TCP's
    /// acknowledgment number, else 0.
    pub acknowledgment: u32,
    /// Why [`dissect`] ended early, unless the capture simply ends there.
    pub fault: Option<PacketError>,
}

/// Walks all headers that we know. Tunnels are found by their ports. `cut` tells that the packet
/// went on after the captured bytes.
#[must_use]
pub fn dissect(bytes: &[u8], cut: bool, start: Start) -> Dissected {
    let mut dissected = Dissected::default();
    dissect_behind(0, bytes, cut, start, &mut dissected);
    dissected
}

/// As [`dissect`], of a packet that is the last part of something else: `at` bytes come before it.
/// The result is written where it will stay, since moving it costs as much as finding it; there is
/// nothing in it yet.
pub(super) fn dissect_behind(
    at: usize,
    bytes: &[u8],
    cut: bool,
    start: Start,
    dissected: &mut Dissected,
) {
    Walk::<true>::new(Cursor::behind(at, bytes), dissected).own(start, cut);
}

/// Walks the headers that Hubble knows: it stops at VLAN tags, ARP, fragments and IPv6 extension
/// headers other than hop-by-hop. `overlay` is what the record says about a tunnel; the packet
/// itself is not asked.
///
/// # Errors
/// When a known layer is short or malformed, wherever the capture ended.
pub fn dissect_as_hubble(
    bytes: &[u8],
    start: Start,
    overlay: Option<TunnelProtocol>,
) -> Result<Dissected, PacketError> {
    let mut dissected = Dissected::default();
    dissect_as_hubble_into(bytes, start, overlay, &mut dissected)?;
    Ok(dissected)
}

/// As [`dissect_as_hubble`], into one that is still empty.
pub(crate) fn dissect_as_hubble_into(
    bytes: &[u8],
    start: Start,
    overlay: Option<TunnelProtocol>,
    dissected: &mut Dissected,
) -> Result<(), PacketError> {
    Walk::<false>::new(Cursor::new(bytes), dissected).hubble(start, overlay)
}

/// One packet on its way through the layers: all that we know, or only Hubble's.
struct Walk<'a, const KNOWS_ALL: bool> {
    cursor: Cursor<'a>,
    dissected: &'a mut Dissected,
    /// What the UDP header's port says about its payload.
    tunnel: Option<TunnelProtocol>,
}

impl<'a, const KNOWS_ALL: bool> Walk<'a, KNOWS_ALL> {
    fn new(cursor: Cursor<'a>, dissected: &'a mut Dissected) -> Self {
        Self {
            cursor,
            dissected,
            tunnel: None,
        }
    }

    /// All that we know; a fault is noted.
    #[inline]
    fn own(&mut self, start: Start, cut: bool) {
        let captured = self.cursor.end();
        let Err(fault) = self.packet_and_tunnel(start) else {
            return;
        };
        // What lies beyond the capture is not the packet's fault.
        let is_excused =
            cut && matches!(fault, PacketError::Short { .. }) && self.cursor.end() == captured;
        if !is_excused {
            self.dissected.fault = Some(fault);
        }
    }

    #[inline]
    fn packet_and_tunnel(&mut self, start: Start) -> Result<(), PacketError> {
        self.packet(start)?;
        let Some(protocol) = self.tunnel else {
            return Ok(());
        };
        // Anybody may send anything to such a port; what is no tunnel header is payload.
        match self.enter(protocol) {
            Ok(Some(inner)) => self.packet(inner),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn hubble(&mut self, start: Start, overlay: Option<TunnelProtocol>) -> Result<(), PacketError> {
        self.packet(start)?;
        let Some(protocol) = overlay else {
            return Ok(());
        };
        let is_udp = matches!(
            self.dissected.headers.transport,
            Some(Transport::Udp { .. })
        );
        if !is_udp || self.cursor.is_at_end() {
            return Ok(());
        }
        match self.enter(protocol).map_err(PacketError::in_overlay)? {
            Some(inner) => self.packet(inner).map_err(PacketError::in_overlay),
            None => Ok(()),
        }
    }

    /// From the link layer to the transport.
    #[inline]
    fn packet(&mut self, start: Start) -> Result<(), PacketError> {
        if self.cursor.is_at_end() {
            return Ok(());
        }
        let Some(network) = self.link(start)? else {
            return Ok(());
        };
        self.dissected.network.get_or_insert(network);
        // Hubble's parser does not miss what a header announces when the packet ends with it.
        if !KNOWS_ALL && self.cursor.is_at_end() {
            return Ok(());
        }
        let Some(protocol) = self.network(network)? else {
            return Ok(());
        };
        if !KNOWS_ALL && self.cursor.is_at_end() {
            return Ok(());
        }
        self.transport(protocol)
    }
}

//! Policy verdict records (type 5).

use super::{
    CaptureHeader, CiliumError, Packet, PacketStart,
    header::{fixed, packet_bytes, u16_at, u32_at},
};

const KIND: &str = "policy-verdict";
/// Where the packet starts. Agents before the current layout wrote 32 bytes, which nothing in the
/// record tells apart.
pub(super) const LENGTH: usize = 40;

const DIRECTION: u8 = 0x03;
const INGRESS: u8 = 1;
const IPV6: u8 = 0x04;
const MATCH_TYPE_SHIFT: u8 = 3;
const MATCH_TYPE: u8 = 0x07;
const AUDITED: u8 = 0x40;
const L3_DEVICE: u8 = 0x80;

/// A policy decided about the first packet of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PolicyVerdictNotify {
    /// The common part; the source is the endpoint whose policy decided.
    pub header: CaptureHeader,
    /// Security identity of the other side.
    pub remote_identity: u32,
    /// Below 0: dropped, for this reason negated. 0: allowed. Above: redirected to this port of
    /// the proxy.
    pub verdict: i32,
    /// The port that the policy was asked for.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Towards the endpoint. Whatever is not said to be is away from it.
    pub is_ingress: bool,
    /// The packet is IPv6.
    pub is_ipv6: bool,
    /// Which part of a policy matched.
    pub match_type: u8,
    /// Would have been dropped, if policies were enforced.
    pub audited: bool,
    /// How the peers proved who they are.
    pub auth_type: u8,
    /// Stands for the policy's log text.
    pub cookie: u32,
}

impl PolicyVerdictNotify {
    #[inline(always)]
    pub(super) fn read(record: &[u8]) -> Result<(Self, Packet<'_>), CiliumError> {
        let base: &[u8; LENGTH] = fixed(record, KIND)?;
        let header = CaptureHeader::read(base);
        let flags = base[27];
        let is_ipv6 = flags & IPV6 != 0;
        let notify = Self {
            header,
            remote_identity: u32_at(base, 16),
            verdict: u32_at(base, 20).cast_signed(),
            destination_port: u16_at(base, 24),
            protocol: base[26],
            is_ingress: flags & DIRECTION == INGRESS,
            is_ipv6,
            match_type: flags >> MATCH_TYPE_SHIFT & MATCH_TYPE,
            audited: flags & AUDITED != 0,
            auth_type: base[28],
            cookie: u32_at(base, 32),
        };
        let packet = Packet {
            bytes: packet_bytes(record, LENGTH, KIND)?,
            original_len: header.original_len,
            start: PacketStart::new(flags & L3_DEVICE != 0, is_ipv6),
            overlay: None,
        };
        Ok((notify, packet))
    }
}

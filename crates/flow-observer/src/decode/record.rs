//! The fixed part of a record.

use probe_events::{
    DropDetail, EventHeader, ExpiredDetail, FLAG_FRAGMENT, FLAG_STARTS_AT_IP, FLAG_VLAN, FlowKey,
    KIND_DROP, KIND_EXPIRED, KIND_TRACE, RECORD_VERSION, TraceDetail, TracePoint, TraceReason,
};

use super::{
    closing,
    packet::{self, Dissected, Start},
};

/// Why a record did not become a flow. The record is counted and skipped; the stream goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the fixed part, or than the record says it captured; a probe and an
    /// observer of different versions.
    #[error("truncated {kind} record: {len} bytes, need {need}")]
    Truncated {
        /// Kind of record.
        kind: &'static str,
        /// Bytes received.
        len: usize,
        /// Bytes needed.
        need: usize,
    },
    /// A kind of record that this build does not know.
    #[error("unknown record kind {0}")]
    UnknownKind(u8),
    /// A layout of another version; two builds share a ring.
    #[error("record version {0}, expected {RECORD_VERSION}")]
    UnknownVersion(u8),
    /// A trace point or reason that this build does not know.
    #[error("unknown {what} {number} in a trace record")]
    UnknownNumber {
        /// `trace point` or `trace reason`.
        what: &'static str,
        /// The number.
        number: u8,
    },
}

impl DecodeError {
    /// A short name for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated_record",
            Self::UnknownKind(_) => "unknown_kind",
            Self::UnknownVersion(_) => "unknown_version",
            Self::UnknownNumber { .. } => "unknown_number",
        }
    }
}

/// A record, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The common part.
    pub header: EventHeader,
    /// What was observed.
    pub detail: Detail,
    /// The packet; its payload's place is that in the record.
    pub packet: Dissected,
}

/// What a record of each kind tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Detail {
    /// The packet passed a trace point.
    Trace {
        /// Where.
        point: TracePoint,
        /// What was known of its connection.
        reason: TraceReason,
        /// The rest: the sending socket, and counts.
        detail: TraceDetail,
    },
    /// The kernel dropped the packet.
    Drop(DropDetail),
    /// A connection left the flow table; there is no packet.
    Expired(ExpiredDetail),
}

/// Decodes one record of the probes.
///
/// # Errors
/// When the record is cut, of an unknown kind or version, or its packet is malformed.
pub fn decode(record: &[u8]) -> Result<Decoded, DecodeError> {
    let mut packet = Dissected::default();
    let (header, detail) = decode_into(record, &mut packet)?;
    Ok(Decoded {
        header,
        detail,
        packet,
    })
}

/// As [`decode`]; the packet goes where it can stay, since moving it costs as much as finding it.
/// There is nothing in it yet.
pub(crate) fn decode_into(
    record: &[u8],
    packet: &mut Dissected,
) -> Result<(EventHeader, Detail), DecodeError> {
    let mut fields = Fields {
        bytes: record,
        at: 0,
    };
    fields.require(size_of::<EventHeader>(), "event")?;
    let header = EventHeader {
        kind: fields.take::<1>("event")?[0],
        version: fields.take::<1>("event")?[0],
        flags: fields.take::<1>("event")?[0],
        point: fields.take::<1>("event")?[0],
        ifindex: u32::from_ne_bytes(fields.take("event")?),
        time_ns: u64::from_ne_bytes(fields.take("event")?),
        packet_len: u32::from_ne_bytes(fields.take("event")?),
        captured_len: u16::from_ne_bytes(fields.take("event")?),
        vlan: u16::from_ne_bytes(fields.take("event")?),
    };
    if header.version != RECORD_VERSION {
        return Err(DecodeError::UnknownVersion(header.version));
    }
    // Each kind goes on by itself: a detail that came from one of several places would be moved.
    match header.kind {
        KIND_TRACE => {
            let detail = trace_detail(&header, &mut fields)?;
            dissect("trace", &header, &detail, &fields, packet)?;
            Ok((header, detail))
        }
        KIND_DROP => {
            let detail = drop_detail(&mut fields)?;
            dissect("drop", &header, &detail, &fields, packet)?;
            Ok((header, detail))
        }
        KIND_EXPIRED => {
            let detail = expired_detail(&mut fields)?;
            dissect("expired", &header, &detail, &fields, packet)?;
            Ok((header, detail))
        }
        kind => Err(DecodeError::UnknownKind(kind)),
    }
}

/// Reads the packet that follows the detail.
#[inline(always)]
fn dissect(
    kind: &'static str,
    header: &EventHeader,
    detail: &Detail,
    fields: &Fields<'_>,
    packet: &mut Dissected,
) -> Result<(), DecodeError> {
    let captured = usize::from(header.captured_len);
    let need = fields.at + captured;
    let Some(bytes) = fields.bytes.get(..need) else {
        return Err(DecodeError::Truncated {
            kind,
            len: fields.bytes.len(),
            need,
        });
    };
    let start = if header.flags & FLAG_STARTS_AT_IP == 0 {
        Start::Ethernet
    } else {
        Start::Ip
    };
    let cut = header.packet_len as usize > captured;
    packet::dissect_behind(fields.at, bytes, cut, start, packet);
    let headers = &mut packet.headers;
    if header.flags & FLAG_VLAN != 0 {
        // Taken out of the bytes, so outermost.
        headers.vlan = Some(header.vlan & 0x0fff);
    }
    if header.flags & FLAG_FRAGMENT != 0
        && let Some((source, destination)) = ports(detail)
        && let Some(fragment) = headers.fragment
    {
        headers.transport = closing::transport(fragment.protocol, source, destination);
    }
    Ok(())
}

/// The ports that the record has for the packet.
fn ports(detail: &Detail) -> Option<(u16, u16)> {
    match detail {
        Detail::Trace { detail, .. } => Some((detail.source_port, detail.destination_port)),
        Detail::Drop(detail) => Some((detail.source_port, detail.destination_port)),
        Detail::Expired(_) => None,
    }
}

#[inline(always)]
fn trace_detail(header: &EventHeader, fields: &mut Fields<'_>) -> Result<Detail, DecodeError> {
    fields.require(size_of::<TraceDetail>(), "trace")?;
    // As one word: written in two parts and copied as one, it would have to wait for the writes.
    let [reason, reserved @ ..] = fields.take::<4>("trace")?;
    let detail = TraceDetail {
        reason,
        reserved,
        source_port: u16::from_ne_bytes(fields.take("trace")?),
        destination_port: u16::from_ne_bytes(fields.take("trace")?),
        socket_cookie: u64::from_ne_bytes(fields.take("trace")?),
        packets: u64::from_ne_bytes(fields.take("trace")?),
        bytes: u64::from_ne_bytes(fields.take("trace")?),
        other_packets: u64::from_ne_bytes(fields.take("trace")?),
        other_bytes: u64::from_ne_bytes(fields.take("trace")?),
    };
    let unknown = |what, number| DecodeError::UnknownNumber { what, number };
    Ok(Detail::Trace {
        point: TracePoint::from_number(header.point)
            .ok_or_else(|| unknown("trace point", header.point))?,
        reason: TraceReason::from_number(detail.reason)
            .ok_or_else(|| unknown("trace reason", detail.reason))?,
        detail,
    })
}

#[inline(always)]
fn drop_detail(fields: &mut Fields<'_>) -> Result<Detail, DecodeError> {
    fields.require(size_of::<DropDetail>(), "drop")?;
    Ok(Detail::Drop(DropDetail {
        reason: u32::from_ne_bytes(fields.take("drop")?),
        netns_inode: u32::from_ne_bytes(fields.take("drop")?),
        netns_cookie: u64::from_ne_bytes(fields.take("drop")?),
        location: u64::from_ne_bytes(fields.take("drop")?),
        socket_cookie: u64::from_ne_bytes(fields.take("drop")?),
        source_port: u16::from_ne_bytes(fields.take("drop")?),
        destination_port: u16::from_ne_bytes(fields.take("drop")?),
        reserved: u32::from_ne_bytes(fields.take("drop")?),
    }))
}

#[inline(always)]
fn expired_detail(fields: &mut Fields<'_>) -> Result<Detail, DecodeError> {
    fields.require(size_of::<ExpiredDetail>(), "expired")?;
    Ok(Detail::Expired(ExpiredDetail {
        key: FlowKey {
            address_a: fields.take("expired")?,
            address_b: fields.take("expired")?,
            port_a: u16::from_ne_bytes(fields.take("expired")?),
            port_b: u16::from_ne_bytes(fields.take("expired")?),
            scope: u32::from_ne_bytes(fields.take("expired")?),
            protocol: fields.take::<1>("expired")?[0],
            place: fields.take::<1>("expired")?[0],
            reserved: fields.take("expired")?,
        },
        origin: u32::from_ne_bytes(fields.take("expired")?),
        point_a: fields.take::<1>("expired")?[0],
        point_b: fields.take::<1>("expired")?[0],
        reserved: u16::from_ne_bytes(fields.take("expired")?),
        last_seen_ns: u64::from_ne_bytes(fields.take("expired")?),
        packets_a: u64::from_ne_bytes(fields.take("expired")?),
        bytes_a: u64::from_ne_bytes(fields.take("expired")?),
        packets_b: u64::from_ne_bytes(fields.take("expired")?),
        bytes_b: u64::from_ne_bytes(fields.take("expired")?),
    }))
}

/// The fields of a record, one after the other.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    /// Checks once for all that follow; their own checks then cost nothing.
    #[inline]
    fn require(&self, bytes: usize, kind: &'static str) -> Result<(), DecodeError> {
        let (len, need) = (self.bytes.len(), self.at + bytes);
        if len < need {
            return Err(DecodeError::Truncated { kind, len, need });
        }
        Ok(())
    }

    #[inline]
    fn take<const N: usize>(&mut self, kind: &'static str) -> Result<[u8; N], DecodeError> {
        let need = self.at + N;
        let field = self
            .bytes
            .get(self.at..need)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(DecodeError::Truncated {
                kind,
                len: self.bytes.len(),
                need,
            })?;
        self.at = need;
        Ok(field)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn header(kind: u8, point: u8, packet_len: usize) -> Vec<u8> {
        let mut bytes = vec![kind, RECORD_VERSION, 0, point];
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(1_000u64.to_ne_bytes());
        bytes.extend((packet_len as u32).to_ne_bytes());
        bytes.extend((packet_len as u16).to_ne_bytes());
        bytes.extend(12u16.to_ne_bytes());
        bytes
    }

    /// A trace record of an IPv4 UDP packet, 10.0.0.1:1000 to 10.0.0.2:53.
    pub(crate) fn trace_record() -> Vec<u8> {
        let packet = packet::tests::udp_packet();
        let mut bytes = header(KIND_TRACE, TracePoint::FromEndpoint as u8, packet.len());
        bytes.extend([TraceReason::Reply as u8, 0, 0, 0]);
        bytes.extend(1_000u16.to_ne_bytes());
        bytes.extend(53u16.to_ne_bytes());
        for number in [99u64, 3, 300, 2, 200] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(packet);
        bytes
    }

    /// The same packet, dropped.
    fn drop_record() -> Vec<u8> {
        let packet = packet::tests::udp_packet();
        let mut bytes = header(KIND_DROP, 0, packet.len());
        bytes.extend(12u32.to_ne_bytes());
        bytes.extend(4_026_531_840u32.to_ne_bytes());
        for number in [5u64, 0xffff_8000_0000_1234, 99] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(1_000u16.to_ne_bytes());
        bytes.extend(53u16.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(packet);
        bytes
    }

    fn expired_record() -> Vec<u8> {
        let mut bytes = header(KIND_EXPIRED, 0, 0);
        bytes.extend([1; 16]);
        bytes.extend([2; 16]);
        bytes.extend(1_000u16.to_ne_bytes());
        bytes.extend(53u16.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend([17, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(2u32.to_ne_bytes());
        bytes.extend([10, 0xff, 0, 0]);
        for number in [900u64, 3, 300, 2, 200] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_drop_record_tells_reason_place_and_packet() {
        let decoded = decode(&drop_record()).unwrap();
        let expected = DropDetail {
            reason: 12,
            netns_inode: 4_026_531_840,
            netns_cookie: 5,
            location: 0xffff_8000_0000_1234,
            socket_cookie: 99,
            source_port: 1_000,
            destination_port: 53,
            reserved: 0,
        };
        assert_eq!(decoded.detail, Detail::Drop(expected));
        assert_eq!(
            decoded.packet.headers.vlan, None,
            "without its flag it says nothing"
        );
        assert_eq!(
            decoded.packet.headers.ip.unwrap().source.to_string(),
            "10.0.0.1"
        );
    }

    #[test]
    fn an_expired_record_tells_connection_and_counts() {
        let decoded = decode(&expired_record()).unwrap();
        let expected = ExpiredDetail {
            key: FlowKey {
                address_a: [1; 16],
                address_b: [2; 16],
                port_a: 1_000,
                port_b: 53,
                scope: 7,
                protocol: 17,
                place: 1,
                reserved: [0; 6],
            },
            origin: 2,
            point_a: 10,
            point_b: probe_events::NO_POINT,
            reserved: 0,
            last_seen_ns: 900,
            packets_a: 3,
            bytes_a: 300,
            packets_b: 2,
            bytes_b: 200,
        };
        assert_eq!(decoded.detail, Detail::Expired(expected));
        assert_eq!(decoded.packet, Dissected::default());
    }

    #[test]
    fn a_trace_record_tells_point_reason_and_packet() {
        let decoded = decode(&trace_record()).unwrap();
        assert_eq!(
            decoded.detail,
            Detail::Trace {
                point: TracePoint::FromEndpoint,
                reason: TraceReason::Reply,
                detail: TraceDetail {
                    reason: TraceReason::Reply as u8,
                    reserved: [0; 3],
                    source_port: 1_000,
                    destination_port: 53,
                    socket_cookie: 99,
                    packets: 3,
                    bytes: 300,
                    other_packets: 2,
                    other_bytes: 200,
                }
            }
        );
        assert_eq!(decoded.header.ifindex, 7);
        assert_eq!(
            decoded.packet.headers.ip.unwrap().source.to_string(),
            "10.0.0.1"
        );
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        for record in [trace_record(), drop_record(), expired_record()] {
            for cut in 0..record.len() {
                let error = decode(&record[..cut]).unwrap_err();
                assert!(
                    matches!(error, DecodeError::Truncated { .. }),
                    "cut at {cut}: {error}"
                );
            }
        }
    }

    #[test]
    fn what_this_build_does_not_know_is_named() {
        let mut record = trace_record();
        record[0] = 200;
        assert_eq!(decode(&record), Err(DecodeError::UnknownKind(200)));
        let mut record = trace_record();
        record[1] = 9;
        assert_eq!(decode(&record), Err(DecodeError::UnknownVersion(9)));
        let mut record = trace_record();
        record[3] = 77;
        assert_eq!(
            decode(&record),
            Err(DecodeError::UnknownNumber {
                what: "trace point",
                number: 77
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            drop(decode(&bytes));
        }

        #[test]
        fn no_damage_to_a_record_makes_the_decoder_panic(at in 0usize..114, byte: u8, cut in 0usize..122) {
            let mut record = trace_record();
            if let Some(damaged) = record.get_mut(at) {
                *damaged = byte;
            }
            record.truncate(cut);
            drop(decode(&record));
        }
    }
}

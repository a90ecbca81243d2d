//! The fixed part of a record.

use std::ops::Range;

use probe_events::{
    DropDetail, EventHeader, FLAG_STARTS_AT_IP, KIND_DROP, KIND_TRACE, RECORD_VERSION, TraceDetail,
    TracePoint, TraceReason,
};

use super::packet::{self, PacketError, Start};
use crate::record::PacketHeaders;

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
    /// The packet's headers.
    pub packet: PacketHeaders,
    /// Where in the record the transport's payload lies; empty when there is none.
    pub payload: Range<usize>,
    /// Why the headers end early, when the packet's own bytes do not add up.
    pub fault: Option<PacketError>,
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
        /// Cookie of the sending socket, 0 when unknown.
        socket_cookie: u64,
    },
    /// The kernel dropped the packet.
    Drop(DropDetail),
}

/// Decodes one record of the probes.
///
/// # Errors
/// When the record is cut, of an unknown kind or version, or its packet is malformed.
pub fn decode(record: &[u8]) -> Result<Decoded, DecodeError> {
    let mut fields = Fields {
        bytes: record,
        at: 0,
    };
    let header = EventHeader {
        kind: fields.take::<1>("event")?[0],
        version: fields.take::<1>("event")?[0],
        flags: fields.take::<1>("event")?[0],
        point: fields.take::<1>("event")?[0],
        ifindex: u32::from_ne_bytes(fields.take("event")?),
        time_ns: u64::from_ne_bytes(fields.take("event")?),
        packet_len: u32::from_ne_bytes(fields.take("event")?),
        captured_len: u16::from_ne_bytes(fields.take("event")?),
        reserved: u16::from_ne_bytes(fields.take("event")?),
    };
    if header.version != RECORD_VERSION {
        return Err(DecodeError::UnknownVersion(header.version));
    }
    let (kind, detail) = match header.kind {
        KIND_TRACE => ("trace", trace_detail(&header, &mut fields)?),
        KIND_DROP => ("drop", drop_detail(&mut fields)?),
        kind => return Err(DecodeError::UnknownKind(kind)),
    };
    let captured = usize::from(header.captured_len);
    let need = fields.at + captured;
    let Some(bytes) = record.get(fields.at..need) else {
        return Err(DecodeError::Truncated {
            kind,
            len: record.len(),
            need,
        });
    };
    let start = if header.flags & FLAG_STARTS_AT_IP == 0 {
        Start::Ethernet
    } else {
        Start::Ip
    };
    let cut = header.packet_len as usize > captured;
    let packet = packet::dissect(bytes, cut, start);
    Ok(Decoded {
        header,
        detail,
        packet: packet.headers,
        payload: fields.at + packet.payload.start..fields.at + packet.payload.end,
        fault: packet.fault,
    })
}

fn trace_detail(header: &EventHeader, fields: &mut Fields<'_>) -> Result<Detail, DecodeError> {
    let detail = TraceDetail {
        reason: fields.take::<1>("trace")?[0],
        reserved: fields.take("trace")?,
        socket_cookie: u64::from_ne_bytes(fields.take("trace")?),
    };
    let unknown = |what, number| DecodeError::UnknownNumber { what, number };
    Ok(Detail::Trace {
        point: TracePoint::from_number(header.point)
            .ok_or_else(|| unknown("trace point", header.point))?,
        reason: TraceReason::from_number(detail.reason)
            .ok_or_else(|| unknown("trace reason", detail.reason))?,
        socket_cookie: detail.socket_cookie,
    })
}

fn drop_detail(fields: &mut Fields<'_>) -> Result<Detail, DecodeError> {
    Ok(Detail::Drop(DropDetail {
        reason: u32::from_ne_bytes(fields.take("drop")?),
        netns_inode: u32::from_ne_bytes(fields.take("drop")?),
        netns_cookie: u64::from_ne_bytes(fields.take("drop")?),
        location: u64::from_ne_bytes(fields.take("drop")?),
    }))
}

/// The fields of a record, one after the other.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
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

    /// A trace record of an IPv4 UDP packet, 10.0.0.1:1000 to 10.0.0.2:53.
    pub(crate) fn trace_record() -> Vec<u8> {
        let packet = packet::tests::udp_packet();
        let mut bytes = vec![
            KIND_TRACE,
            RECORD_VERSION,
            0,
            TracePoint::FromEndpoint as u8,
        ];
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(1_000u64.to_ne_bytes());
        bytes.extend((packet.len() as u32).to_ne_bytes());
        bytes.extend((packet.len() as u16).to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend([TraceReason::Reply as u8, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(99u64.to_ne_bytes());
        bytes.extend(packet);
        bytes
    }

    #[test]
    fn a_trace_record_tells_point_reason_and_packet() {
        let decoded = decode(&trace_record()).unwrap();
        assert_eq!(
            decoded.detail,
            Detail::Trace {
                point: TracePoint::FromEndpoint,
                reason: TraceReason::Reply,
                socket_cookie: 99
            }
        );
        assert_eq!(decoded.header.ifindex, 7);
        assert_eq!(decoded.packet.ip.unwrap().source.to_string(), "10.0.0.1");
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let record = trace_record();
        for cut in 0..record.len() {
            let error = decode(&record[..cut]).unwrap_err();
            assert!(
                matches!(error, DecodeError::Truncated { .. }),
                "cut at {cut}: {error}"
            );
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
        fn no_damage_to_a_record_makes_the_decoder_panic(at in 0usize..82, byte: u8, cut in 0usize..90) {
            let mut record = trace_record();
            if let Some(damaged) = record.get_mut(at) {
                *damaged = byte;
            }
            record.truncate(cut);
            drop(decode(&record));
        }
    }
}

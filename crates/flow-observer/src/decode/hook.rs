//! The records of the optional programs: translated addresses and trouble in TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use probe_events::{
    HOOK_RECORD_VERSION, KIND_SOCKET, KIND_TCP, ProcessInfo, TcpTrouble, TranslationPoint,
};

/// Why a record of an optional program tells nothing. It is counted and skipped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// Fewer bytes than a record of its kind has; programs and observer of different versions.
    #[error("truncated {kind} record: {len} bytes")]
    Truncated {
        /// Kind of record.
        kind: &'static str,
        /// Bytes received.
        len: usize,
    },
    /// A kind of record that the optional programs do not write.
    #[error("unknown kind {0} of an optional program's record")]
    UnknownKind(u8),
    /// A layout of another version; two builds share a ring.
    #[error("version {0} of an optional program's record, expected {HOOK_RECORD_VERSION}")]
    UnknownVersion(u8),
    /// A number that this build has no meaning for.
    #[error("unknown {what} {number} in an optional program's record")]
    UnknownNumber {
        /// What the number stands for.
        what: &'static str,
        /// The number.
        number: u8,
    },
}

impl HookError {
    /// A short name for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated_hook_record",
            Self::UnknownKind(_) => "unknown_hook_kind",
            Self::UnknownVersion(_) => "unknown_hook_version",
            Self::UnknownNumber { .. } => "unknown_hook_number",
        }
    }
}

/// What an optional program saw.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Hook {
    /// An address before or after its translation at a socket.
    Socket(SocketEvent),
    /// Trouble of a TCP connection.
    Tcp(TcpEvent),
}

/// An address before or after its translation at a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketEvent {
    /// Which of the two, and which way.
    pub point: TranslationPoint,
    /// IP protocol number of the socket.
    pub protocol: u8,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time_ns: u64,
    /// Cookie of the socket.
    pub socket_cookie: u64,
    /// Cookie of its network namespace.
    pub netns_cookie: u64,
    /// Who made the call.
    pub process: ProcessInfo,
    /// The other end. IPv4 in an IPv6 socket is IPv4.
    pub peer: SocketAddr,
}

/// Trouble of a TCP connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TcpEvent {
    /// What happened.
    pub trouble: TcpTrouble,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub time_ns: u64,
    /// Cookie of the socket, 0 when unknown.
    pub socket_cookie: u64,
    /// Cookie of the network namespace, 0 when unknown.
    pub netns_cookie: u64,
    /// The end that sent again or sent the reset.
    pub source: SocketAddr,
    /// The other end.
    pub destination: SocketAddr,
}

/// Decodes one record of an optional program.
///
/// # Errors
/// When the record is cut, of an unknown kind or version, or has a number without a meaning.
pub fn decode_hook(record: &[u8]) -> Result<Hook, HookError> {
    let mut fields = Fields {
        rest: record,
        len: record.len(),
        kind: "optional program's",
    };
    let [kind, version] = fields.take()?;
    if version != HOOK_RECORD_VERSION {
        return Err(HookError::UnknownVersion(version));
    }
    match kind {
        KIND_SOCKET => {
            fields.kind = "socket";
            socket(&mut fields).map(Hook::Socket)
        }
        KIND_TCP => {
            fields.kind = "TCP";
            tcp(&mut fields).map(Hook::Tcp)
        }
        kind => Err(HookError::UnknownKind(kind)),
    }
}

/// `probe_events::SocketRecord` after kind and version.
fn socket(fields: &mut Fields<'_>) -> Result<SocketEvent, HookError> {
    let [point, protocol, family, _reserved] = fields.take()?;
    let port = u16::from_ne_bytes(fields.take()?);
    let time_ns = u64::from_ne_bytes(fields.take()?);
    let socket_cookie = u64::from_ne_bytes(fields.take()?);
    let netns_cookie = u64::from_ne_bytes(fields.take()?);
    let process = ProcessInfo {
        cgroup_id: u64::from_ne_bytes(fields.take()?),
        pid: u32::from_ne_bytes(fields.take()?),
        reserved: u32::from_ne_bytes(fields.take()?),
        comm: fields.take()?,
    };
    let peer = address(family, fields.take()?)?;
    Ok(SocketEvent {
        point: TranslationPoint::from_number(point).ok_or(unknown("translation point", point))?,
        protocol,
        time_ns,
        socket_cookie,
        netns_cookie,
        process,
        peer: SocketAddr::new(peer, port),
    })
}

/// `probe_events::TcpRecord` after kind and version.
fn tcp(fields: &mut Fields<'_>) -> Result<TcpEvent, HookError> {
    let [trouble, family] = fields.take()?;
    let source_port = u16::from_ne_bytes(fields.take()?);
    let destination_port = u16::from_ne_bytes(fields.take()?);
    let time_ns = u64::from_ne_bytes(fields.take()?);
    let socket_cookie = u64::from_ne_bytes(fields.take()?);
    let netns_cookie = u64::from_ne_bytes(fields.take()?);
    let source = address(family, fields.take()?)?;
    let destination = address(family, fields.take()?)?;
    Ok(TcpEvent {
        trouble: TcpTrouble::from_number(trouble).ok_or(unknown("TCP trouble", trouble))?,
        time_ns,
        socket_cookie,
        netns_cookie,
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// An IPv6 socket that talks IPv4 has `::ffff:a.b.c.d` for it; on the wire it is IPv4.
fn address(family: u8, bytes: [u8; 16]) -> Result<IpAddr, HookError> {
    let [a, b, c, d, ..] = bytes;
    match family {
        4 => Ok(Ipv4Addr::new(a, b, c, d).into()),
        6 => Ok(Ipv6Addr::from(bytes).to_canonical()),
        family => Err(unknown("address family", family)),
    }
}

fn unknown(what: &'static str, number: u8) -> HookError {
    HookError::UnknownNumber { what, number }
}

/// The fields of a record, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
    /// Of the whole record, for errors.
    len: usize,
    kind: &'static str,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], HookError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(HookError::Truncated {
            kind: self.kind,
            len: self.len,
        })?;
        self.rest = rest;
        Ok(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP connection of process 77 to 10.96.0.10:80, as it was asked for.
    fn socket_record() -> Vec<u8> {
        let mut bytes = vec![KIND_SOCKET, HOOK_RECORD_VERSION, 1, 6, 4, 0];
        bytes.extend(80u16.to_ne_bytes());
        for word in [1_000u64, 99, 4_026, 12] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(77u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(b"curl\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend([10, 96, 0, 10]);
        bytes.extend([0; 12]);
        bytes
    }

    /// A segment from 10.0.0.1:4000 to 10.0.0.2:80 that was sent again, in an IPv6 socket.
    fn tcp_record() -> Vec<u8> {
        let mut bytes = vec![KIND_TCP, HOOK_RECORD_VERSION, 1, 6];
        bytes.extend(4_000u16.to_ne_bytes());
        bytes.extend(80u16.to_ne_bytes());
        for word in [1_000u64, 99, 4_026] {
            bytes.extend(word.to_ne_bytes());
        }
        for last in [1, 2] {
            bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]);
        }
        bytes
    }

    #[test]
    fn a_socket_record_tells_point_process_and_peer() {
        let expected = SocketEvent {
            point: TranslationPoint::PreForward,
            protocol: 6,
            time_ns: 1_000,
            socket_cookie: 99,
            netns_cookie: 4_026,
            process: ProcessInfo {
                cgroup_id: 12,
                pid: 77,
                reserved: 0,
                comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
            },
            peer: SocketAddr::from(([10, 96, 0, 10], 80)),
        };
        assert_eq!(decode_hook(&socket_record()), Ok(Hook::Socket(expected)));
    }

    #[test]
    fn a_tcp_record_tells_trouble_and_connection_and_its_ipv4_is_ipv4() {
        let expected = TcpEvent {
            trouble: TcpTrouble::Retransmit,
            time_ns: 1_000,
            socket_cookie: 99,
            netns_cookie: 4_026,
            source: SocketAddr::from(([10, 0, 0, 1], 4_000)),
            destination: SocketAddr::from(([10, 0, 0, 2], 80)),
        };
        assert_eq!(decode_hook(&tcp_record()), Ok(Hook::Tcp(expected)));
    }

    #[test]
    fn records_are_as_long_as_both_sides_think() {
        assert_eq!(
            socket_record().len(),
            size_of::<probe_events::SocketRecord>()
        );
        assert_eq!(tcp_record().len(), size_of::<probe_events::TcpRecord>());
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        for record in [socket_record(), tcp_record()] {
            for cut in 0..record.len() {
                let error = decode_hook(&record[..cut]).unwrap_err();
                assert_eq!(error.reason(), "truncated_hook_record", "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_this_build_does_not_know_is_named() {
        let damaged = |mut record: Vec<u8>, at: usize| {
            record[at] = 200;
            decode_hook(&record).unwrap_err().to_string()
        };
        let cases = [
            (socket_record(), 0, "unknown kind 200"),
            (socket_record(), 1, "version 200"),
            (socket_record(), 2, "unknown translation point 200"),
            (socket_record(), 4, "unknown address family 200"),
            (tcp_record(), 2, "unknown TCP trouble 200"),
            (tcp_record(), 3, "unknown address family 200"),
        ];
        for (record, at, expected) in cases {
            let said = damaged(record, at);
            assert!(said.starts_with(expected), "{said}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(mut bytes: Vec<u8>, kind in 15u8..19) {
            if let Some([first, second]) = bytes.first_chunk_mut() {
                (*first, *second) = (kind, HOOK_RECORD_VERSION);
            }
            let _decoded = decode_hook(&bytes);
        }
    }
}

//! What the optional programs at the sockets say: the record of a translated address, and the
//! tables of processes that user space looks up in.

/// [`SocketRecord::kind`]. Records of the optional programs have kinds of their own, although they
/// come in rings of their own, so that a mix-up is refused.
pub const KIND_SOCKET: u8 = 16;

/// Version of the layout of the optional programs' records; another is refused.
pub const HOOK_RECORD_VERSION: u8 = 1;

/// Bytes of a process's name, as the kernel keeps it: ends at the first zero, if there is one.
pub const COMM_BYTES: usize = 16;

/// An address that was translated at a socket, before or after, 80 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketRecord {
    /// [`KIND_SOCKET`].
    pub kind: u8,
    /// [`HOOK_RECORD_VERSION`].
    pub version: u8,
    /// A [`TranslationPoint`].
    pub point: u8,
    /// IP protocol number of the socket.
    pub protocol: u8,
    /// 4 or 6: which bytes of `address` count. IPv4 in an IPv6 socket comes as `::ffff:a.b.c.d`.
    pub family: u8,
    /// Zero.
    pub reserved: u8,
    /// Port that belongs to `address`, host order.
    pub port: u16,
    /// CLOCK_MONOTONIC, nanoseconds; the same in both records of a translation.
    pub time_ns: u64,
    /// Cookie of the socket.
    pub socket_cookie: u64,
    /// Cookie of the socket's network namespace.
    pub netns_cookie: u64,
    /// Who made the call.
    pub process: ProcessInfo,
    /// The other end's address: 16 bytes in network order, IPv4 in the first four.
    pub address: [u8; 16],
}

/// When an address was seen. Numbers as in Hubble's socket trace records.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TranslationPoint {
    /// What the process asked for.
    PreForward = 1,
    /// What it got instead.
    PostForward = 2,
    /// Where an answer came from.
    PreReverse = 3,
    /// What the process was told.
    PostReverse = 4,
}

impl TranslationPoint {
    /// The point with this number, if it is one that the programs report.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::PreForward),
            2 => Some(Self::PostForward),
            3 => Some(Self::PreReverse),
            4 => Some(Self::PostReverse),
            _ => None,
        }
    }
}

/// A process, 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ProcessInfo {
    /// Cgroup (version 2), as `stat` shows its directory.
    pub cgroup_id: u64,
    /// Process, not thread, as the first PID namespace counts.
    pub pid: u32,
    /// Zero.
    pub reserved: u32,
    /// Name of the thread that made the call.
    pub comm: [u8; COMM_BYTES],
}

/// A port that something was bound to, 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BoundPort {
    /// Cookie of the network namespace.
    pub netns_cookie: u64,
    /// Host order.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

// Kernel and user space copy these as bytes: no padding may hide in them.
const _: () = {
    assert!(size_of::<SocketRecord>() == 80);
    assert!(size_of::<ProcessInfo>() == 32);
    assert!(size_of::<BoundPort>() == 16);
    assert!(align_of::<SocketRecord>() == 8);
};

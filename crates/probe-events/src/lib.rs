//! The event records that kernel and user space share, defined once.
//!
//! The probes write one record per event into one ring buffer: a fixed header of a known kind,
//! then the first bytes of the packet. All numbers are in host byte order, since both sides run on
//! the same machine; the packet bytes are as they were on the wire.
//!
//! ```text
//! trace:    EventHeader (24) | TraceDetail   (48) | packet, captured_len bytes
//! drop:     EventHeader (24) | DropDetail    (40) | packet, captured_len bytes
//! expired:  EventHeader (24) | ExpiredDetail (96)
//! ```
//!
//! The crate is `no_std` and without dependencies, so that it builds for `bpfel` too.
#![no_std]

mod config;
mod flow_table;
mod record;
mod socket;
mod tcp;

pub use config::{
    Aggregation, Counter, DropRate, FEATURE_RX_SOCKET, KernelLayout, NetnsOwner,
    REASON_TABLE_ENTRIES, ReaderState, ReasonClass, Settings, WAKE_AT_BYTES, WAKE_EVERY_NS,
};
pub use flow_table::{
    Account, FlowKey, FlowState, Marks, Origin, Phase, Place, RETIRE_DELETE, RETIRE_KEYS,
    RETIRE_MARK, RetireHeader, SEEN_EVERY_NS, other_side, side_index,
};
pub use record::{
    CAPTURE_BYTES, DropDetail, EventHeader, ExpiredDetail, FLAG_FRAGMENT, FLAG_PAYLOAD,
    FLAG_STARTS_AT_IP, FLAG_VLAN, HELLO_CAPTURE_BYTES, KIND_DROP, KIND_EXPIRED, KIND_TRACE,
    MAX_AWAITED_BYTES, MAX_RECORD_BYTES, NO_POINT, PAYLOAD_CAPTURE_BYTES, RECORD_VERSION,
    TUNNEL_CAPTURE_BYTES, TraceDetail, TracePoint, TraceReason,
};
pub use socket::{
    BoundPort, COMM_BYTES, HOOK_RECORD_VERSION, KIND_SOCKET, ProcessInfo, SocketRecord,
    TranslationPoint,
};
pub use tcp::{FEATURE_RETRANSMIT_ERROR, KIND_TCP, TcpLayout, TcpRecord, TcpTrouble};

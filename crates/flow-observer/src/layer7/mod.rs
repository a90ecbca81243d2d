//! What all flows of requests have in common, whoever saw the requests: the line that sums them up,
//! what is not to be shown of them, and the trace that they belong to.
//!
//! In: the messages of Hubble's contract and texts from the wire. Out: texts. Both the flows that
//! Cilium's proxies log and those that [`crate::exchange`] makes of packets go through here.

mod redact;
mod text;
mod trace_context;

pub use redact::{HeaderRule, Redaction};
pub(crate) use text::{dns_types, generic, summary};
pub(crate) use trace_context::{trace_context, trace_id};

/// `CiliumEventType.type` of requests and responses.
pub(crate) const MESSAGE_ACCESS_LOG: i32 = 129;

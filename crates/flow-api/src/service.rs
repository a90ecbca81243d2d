//! The Observer service as those use it who pass flows on: agents and relays.
//!
//! `GetFlows`, `GetAgentEvents` and `GetDebugEvents` carry ready bytes here, each item one encoded
//! response as [`GetFlowsResponse`](crate::observer::GetFlowsResponse); the other calls carry the
//! ordinary messages. Paths on the wire are those of the ordinary service, so any client of one talks to a
//! server of the other. A client that wants decoded flows takes
//! [`crate::observer::observer_client`].

#![allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated from proto/, which holds the documentation"
)]

include!(concat!(env!("OUT_DIR"), "/service/observer.Observer.rs"));

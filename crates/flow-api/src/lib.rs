//! Hubble's wire contract in Rust: messages, gRPC stubs, JSON mapping, and one way to connect.
//!
//! `proto/` holds the contract; everything that depends on it is generated when this crate is
//! built, without `protoc`:
//!
//! ```text
//! proto/*.proto ─┬─ prost ──► flow, observer, palomar, peer, relay: messages
//!                ├─ tonic ──► observer::observer_client       flows decoded, for those who read them
//!                │            service::{observer_server,      flows as ready bytes, for those who
//!                │                      observer_client}      pass them on (by way of codec)
//!                │            peer::{peer_server, peer_client}
//!                ├─ build/json.rs ──► json                    the JSON form of every message
//!                └─ FILE_DESCRIPTOR_SET                       for reflection and checks
//! ```
//!
//! Written by hand are [`connect`], which turns a server's name into a channel, `server` (a feature),
//! which answers on sockets, [`codec`] and [`frames`], and the rules of the JSON mapping in [`json`].

pub mod cause;
pub mod clock;
mod code;
pub mod codec;
pub mod connect;
pub mod coverage;
pub mod extension;
pub mod frames;
pub mod json;
pub mod near;
pub mod progress;
pub mod resume;
#[cfg(feature = "server")]
pub mod server;
pub mod service;
pub mod words;

pub use code::code_name;

macro_rules! generated {
    ($(#[doc = $doc:literal] $package:ident),* $(,)?) => {$(
        #[doc = $doc]
        #[allow(
            missing_docs,
            clippy::all,
            clippy::allow_attributes_without_reason,
            deprecated,
            rustdoc::all,
            reason = "generated from proto/, which holds the documentation"
        )]
        pub mod $package {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($package), ".rs"));
        }
    )*};
}

generated! {
    #[doc = "Flows, filters and the other events of the stream."]
    flow,
    #[doc = "The Observer service."]
    observer,
    #[doc = "What Palomar tells beyond Hubble's contract."]
    palomar,
    #[doc = "The Peer service."]
    peer,
    #[doc = "What a relay says about its nodes."]
    relay,
}

/// The compiled `proto/` as an encoded `FileDescriptorSet`, imports included, as gRPC reflection
/// and the wire check want it.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The Hubble release whose wire contract this crate follows. Servers announce it, since clients
/// warn when a server is newer than they are.
pub const HUBBLE_VERSION: &str = "1.19.4";

/// The service name under which health is asked for: a constant of Hubble's clients, and not the
/// name of the protobuf service.
pub const HEALTH_SERVICE: &str = "hubble.server.Observer";

//! A relay between fake peers and a real client, over Unix sockets and TCP, by the rules that a user sees.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod access;
mod calls;
mod clients;
mod coverage;
mod discovery;
mod finite;
mod follow;
mod health;
mod metrics;
mod nested;
mod returns;
#[cfg(feature = "kubernetes")]
mod slices;
mod support;
mod tls;

//! The serving side over real sockets: whom it lets in, what it takes, and what it costs.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails loudly"
)]

mod bounds;
mod certificates;
mod clients;
mod closing;
mod notifier;
mod pages;
mod running;
mod tls;

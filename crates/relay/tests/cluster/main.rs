//! A relay between fake peers and a real client, over Unix sockets, by the rules that a user sees.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

mod calls;
mod coverage;
mod finite;
mod follow;
mod support;

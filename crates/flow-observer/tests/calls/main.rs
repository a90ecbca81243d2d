//! What an agent answers, asked over its socket as any client would.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod agent_events;
mod coverage;
mod meta;
mod peers;
mod resume;
mod support;

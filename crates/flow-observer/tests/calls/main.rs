//! What an agent answers, asked over its socket as any client would.

mod agent_events;
mod coverage;
mod meta;
mod peers;
mod support;

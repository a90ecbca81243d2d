//! Flows in files, by the real binary: what is written, and what becomes of it when everything goes
//! wrong.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests do, but are not marked as such"
)]

mod agent;
mod cluster;
mod faults;
mod files;
mod flows;
mod kill;
mod lists;
mod relayed;
mod reload;

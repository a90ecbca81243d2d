//! Metrics of flows, by the real binary: each line of a page beside what a script of its own counts
//! from the same flows, and what becomes of the page when its configuration changes.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests do, but are not marked as such"
)]

mod agent;
mod errors;
mod flows;
mod formats;
mod judge;
mod measured;
mod page;
mod reload;
mod scrape;

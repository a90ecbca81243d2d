//! An agent and its clients: many, slow, hostile, by TCP. Needs no privileges.
//!
//! `cargo xtask bench followers` runs the same at full size.

mod agent;
mod follower;
mod relayed;
mod run;
mod secured;
mod storm;

use std::time::Duration;

use anyhow::Result;

use crate::{follower::Kind, run::Load};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_followers_is_given_or_told_exactly_what_was_written() -> Result<()> {
    let load = Load {
        followers: 100,
        whole: 10,
        slow: 10,
        rate: 4000,
        time: Duration::from_secs(5),
        ring_capacity: 4095,
    };
    let report = load.run().await?;
    println!("{report}");
    assert_eq!(report.accounts.len(), load.followers);
    // Fifty flows a second out of what is a second of the ring.
    let slow = report.accounts.iter().filter(|it| it.kind == Kind::Slow);
    assert!(slow.clone().count() == load.slow && slow.clone().all(|it| it.lost > 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_clients_that_do_not_behave_costs_a_bounded_amount_and_nobody_else() -> Result<()>
{
    storm::weather(500, Duration::from_secs(4)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_reached_by_tcp_with_a_certificate_and_not_without() -> Result<()> {
    secured::reached().await
}

#[tokio::test]
async fn a_relay_reaches_an_agent_by_what_it_announces_with_certificates_on_both_sides()
-> Result<()> {
    relayed::reached().await
}

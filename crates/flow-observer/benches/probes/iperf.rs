//! Part `iperf`: what a connection between two pods loses to the probes at their default
//! aggregation, with a reader at work.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::source::probes::ProbeConfig;
use testbed::{Node, Pod, wait};

use crate::{cluster, figures::Figures, observer::Observer, programs::Floor};

const ROUNDS: usize = 15;
const SECONDS: &str = "2";
/// How long a server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn run() -> Result<()> {
    let installed = Command::new("iperf3").arg("--version").output();
    ensure!(
        installed.is_ok(),
        "the program iperf3 is missing: install the package iperf3"
    );
    let cluster = cluster()?;
    let node = cluster.nodes().first().context("a cluster without nodes")?;
    let (client, server) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    let mut figures = [(); 3].map(|()| Figures::default());
    let mut ratios = [(); 3].map(|()| Figures::default());
    for round in 0..ROUNDS {
        let mut rates = [0.0; 3];
        // Whoever comes first finds another machine than whoever comes last: in turns.
        for turn in 0..rates.len() {
            let which = (round + turn) % rates.len();
            rates[which] = match which {
                0 => gigabits(client, server)?,
                1 => least(node, client, server)?,
                _ => observed(node, client, server)?,
            };
        }
        for (which, rate) in rates.into_iter().enumerate() {
            figures[which].add(rate);
            ratios[which].add(rate / rates[0] * 100.0);
        }
    }
    println!(
        "TCP (cubic), Gbit/s, and % of the same round's without programs; median of {ROUNDS} \
         rounds of {SECONDS} s (smallest to largest)"
    );
    let names = ["without programs", "least: flow table", "probes, medium"];
    for ((name, rate), ratio) in names.iter().zip(&figures).zip(&ratios) {
        let of_medians = rate.median() / figures[0].median() * 100.0;
        println!("  {name:20} {rate}  {ratio} %, of the medians {of_medians:.1} %");
    }
    Ok(())
}

/// With the least program that has a flow table.
fn least(node: &Node, client: &Pod, server: &Pod) -> Result<f64> {
    let mut floor = Floor::load("flow")?;
    let links = floor.attach(node)?;
    let rate = gigabits(client, server)?;
    ensure!(floor.drain() > 0, "the least program has not seen anything");
    drop(links);
    Ok(rate)
}

fn observed(node: &Node, client: &Pod, server: &Pod) -> Result<f64> {
    let observer = Observer::start(node, &ProbeConfig::default(), None)?;
    let rate = gigabits(client, server)?;
    let seen = observer.counters.seen_flows();
    let lost = observer.counters.lost_records();
    observer.end()?;
    ensure!(seen > 0 && lost == 0, "{seen} flows seen, {lost} lost");
    Ok(rate)
}

/// What iperf3 says that arrived.
fn gigabits(client: &Pod, server: &Pod) -> Result<f64> {
    let mut listen = Command::new("iperf3");
    listen.args(["-s", "-1"]).stdout(Stdio::null());
    let mut serving = server.spawn(listen)?;
    let address = server.ipv4().to_string();
    // Until the server listens, the client reports that it cannot connect, and calls it a success.
    let bits = wait::until("an answer of iperf3", START_TIMEOUT, || {
        let mut send = Command::new("iperf3");
        send.args(["-c", &address, "-t", SECONDS, "-C", "cubic", "-J"])
            .stdout(Stdio::piped());
        let output = client.spawn(send)?.wait_with_output()?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(report["end"]["sum_received"]["bits_per_second"].as_f64())
    })?;
    serving.wait()?;
    ensure!(bits > 0.0, "nothing arrived");
    Ok(bits / 1e9)
}

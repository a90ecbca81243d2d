//! Printing what a server sends, as fast as it comes.

use std::{process::Command, time::Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use flow_api::observer::GetFlowsRequest;
use prost::Message as _;
use testbed::observer::{Messages, Script, Server, messages};
use tonic::{Request, Response, Status, async_trait};

use crate::{BINARY, child, flows::Flows};

/// Flows per second that printing has to keep up with, on one core.
const GOAL: f64 = 200_000.0;
/// Different messages, sent over and over.
const MESSAGES: usize = 1_000;

/// Sends so many flows, then ends.
struct Many {
    messages: Vec<Bytes>,
    flows: u64,
}

#[async_trait]
impl Script for Many {
    async fn flows(&self, _: Request<GetFlowsRequest>) -> Result<Response<Messages>, Status> {
        let count = usize::try_from(self.flows).unwrap_or(usize::MAX);
        let all = self.messages.clone().into_iter().cycle().take(count);
        Ok(Response::new(messages(all)))
    }
}

pub(crate) fn run(flows: u64) -> Result<()> {
    let mut source = Flows::new();
    let messages: Vec<Bytes> = (0..MESSAGES)
        .map(|_| Bytes::from(source.next().encode_to_vec()))
        .collect();
    let bytes: usize = messages.iter().map(Bytes::len).sum();
    let server = Server::at_socket(Many { messages, flows })?;
    println!("live: {} bytes a message", bytes / MESSAGES);
    for format in ["compact", "json"] {
        let mut command = Command::new(BINARY);
        command
            .args(["observe", "--follow", "-o", format, "--server"])
            .arg(server.address())
            .env("HOME", "/nonexistent");
        let begun = Instant::now();
        let cost = child::cost(&mut command)?;
        let per_core = flows as f64 / cost.cpu.as_secs_f64();
        println!(
            "live, {format:<22} {:>7.2} s  {:>7.2} CPU s  {:>7.0} k flows/s on one core, asked for: {:.0}",
            begun.elapsed().as_secs_f64(),
            cost.cpu.as_secs_f64(),
            per_core / 1000.0,
            GOAL / 1000.0
        );
        ensure!(cost.peak_kib > 0, "no memory was seen");
    }
    Ok(())
}

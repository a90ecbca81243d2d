//! What `doctor` says of networks: of none at all, and of one that swallows everything.

use std::{process::Command, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};

use crate::{Rule, palomar};

pub(crate) const RULES: &[Rule] = &[
    ("a_server_without_a_route_is_told_as_such", no_route),
    ("a_server_that_swallows_packets_is_told_as_such", no_answer),
];

/// Documentation's own network: nobody has it.
const SERVER: &str = "192.0.2.7:4244";

fn no_route() -> Result<()> {
    let line = alone(&[])?;
    let expected = "192.0.2.7:4244  route failed: no way to 192.0.2.7: network is unreachable; see \
        'ip route get 192.0.2.7'\n";
    ensure!(line == expected, "{line}");
    Ok(())
}

fn no_answer() -> Result<()> {
    let line = alone(&[
        "link add name void type veth peer name hole",
        "link set hole up",
        "address add 192.0.2.1/24 dev void",
        "link set void arp off up",
    ])?;
    let expected = "192.0.2.7:4244  port failed: no answer from 192.0.2.7:4244 within 300ms; is the \
        host up, or does a firewall drop the packets?\n";
    ensure!(line == expected, "{line}");
    Ok(())
}

/// What is said of the server in a network namespace where these commands of `ip` were given. The
/// namespace goes with its thread.
fn alone(commands: &[&str]) -> Result<String> {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
        for command in commands {
            let status = Command::new("ip").args(command.split(' ')).status()?;
            ensure!(status.success(), "ip {command} failed");
        }
        palomar::run(&["doctor", "--timeout", "300ms", SERVER])
    };
    let output = thread::scope(|scope| {
        let inside = scope.spawn(inside);
        inside
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
    })?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

//! Traffic like that of a small shop, a few messages a second: servers and clients on threads
//! inside pods, with ordinary blocking sockets.
//!
//! A workload counts what went well and what failed, and goes on; it ends when its [`Workload`] is
//! dropped.

mod client;
mod dns;
mod http;
mod scene;
mod tls;
mod udp;

use std::{
    net::UdpSocket,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Place;

pub use client::{Call, call, call_blocked};
pub use dns::{Zone, serve_dns};
pub use http::serve_http;
pub use scene::{Scene, demo_spec};
pub use tls::{Certificate, serve_https};
pub use udp::{send_datagrams, serve_udp};

/// How long a thread waits for its socket or its next turn before it looks whether to stop.
const PATIENCE_MS: u16 = 100;

/// A server or client on a thread of its own inside a place; stopped on drop.
#[derive(Debug)]
pub struct Workload {
    name: String,
    state: Arc<State>,
    thread: Option<JoinHandle<Option<()>>>,
}

/// Shared by a workload and its thread.
#[derive(Debug, Default)]
struct State {
    stop: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Workload {
    /// Runs `body` inside `place` until it returns, which it does soon after it is told to stop.
    fn start(
        place: &impl Place,
        what: &str,
        body: impl FnOnce(&State) + Send + 'static,
    ) -> Result<Self> {
        let name = format!("{what} in {}", place.name());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = place.namespace().thread(what, move || body(&shared))?;
        Ok(Self {
            name,
            state,
            thread: Some(thread),
        })
    }

    /// What it is and where, as in `http server in shop/api-0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Requests answered or calls that went as intended so far.
    pub fn done(&self) -> u64 {
        self.state.done.load(Ordering::Relaxed)
    }

    /// What failed so far.
    pub fn failed(&self) -> u64 {
        self.state.failed.load(Ordering::Relaxed)
    }

    /// Asks it to stop, without waiting: for ending many side by side.
    pub fn stop(&self) {
        self.state.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!(name = self.name, "a workload panicked");
        }
    }
}

impl State {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn count<T>(&self, what: &str, result: Result<T>) {
        match result {
            Ok(_) => self.done.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                tracing::debug!(%error, what, "a workload's call failed");
                self.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    /// Waits until `socket` can be read; false when it is time to stop.
    fn readable(&self, socket: &impl AsFd) -> bool {
        while !self.stopped() {
            let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut wanted, PollTimeout::from(PATIENCE_MS)).is_ok_and(|ready| ready > 0) {
                return true;
            }
        }
        false
    }

    /// Waits for `interval`; false when it is time to stop.
    fn pause(&self, interval: Duration) -> bool {
        let end = Instant::now() + interval;
        while !self.stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(Duration::from_millis(PATIENCE_MS.into())));
        }
        false
    }
}

/// Answers each datagram on `socket` with what `answer` makes of it.
fn serve_datagrams(state: &State, socket: &UdpSocket, answer: impl Fn(&[u8]) -> Result<Vec<u8>>) {
    // Larger than any datagram that the clients of this module send.
    let mut buffer = [0; 2048];
    while state.readable(socket) {
        let reply = || -> Result<()> {
            let (len, from) = socket.recv_from(&mut buffer)?;
            socket.send_to(&answer(&buffer[..len])?, from)?;
            Ok(())
        };
        state.count("answer", { reply }());
    }
}

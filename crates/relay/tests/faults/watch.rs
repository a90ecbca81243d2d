//! A client that follows a relay and writes down what it gets.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::observer::{GetFlowsRequest, GetFlowsResponse};
use flow_api::relay::NodeState;
use testbed::wait;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tonic::{Code, Status};

use crate::node::Node;
use crate::relay_process::target;
use crate::support::Client;
use crate::{PATIENCE, PROMPT};

/// Where all clients of all tests run.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// One flow.
#[derive(Clone, Debug)]
struct Seen {
    node: String,
    number: u64,
    at: SystemTime,
    /// From its time until it was here; nothing for the future.
    took: Duration,
}

#[derive(Default)]
struct Record {
    flows: Vec<Seen>,
    /// One for each node.
    told: Vec<(NodeState, String, String)>,
    end: Option<Status>,
}

/// See the [module](self). Goes away when it is dropped.
pub(crate) struct Watch {
    record: Arc<Mutex<Record>>,
    gate: Arc<Notify>,
    task: AbortHandle,
}

impl Watch {
    /// Follows everything of so many nodes, when the relay is connected to them.
    pub(crate) fn of(socket: &Path, nodes: usize) -> Result<Self> {
        let watch = Self::stalled(socket, nodes, None)?;
        watch.read_on();
        Ok(watch)
    }

    /// The same from some time on.
    pub(crate) fn since(socket: &Path, nodes: usize, since: SystemTime) -> Result<Self> {
        let watch = Self::stalled(socket, nodes, Some(since))?;
        watch.read_on();
        Ok(watch)
    }

    /// The same, and does not read what comes until it is told to.
    pub(crate) fn stalled(socket: &Path, nodes: usize, since: Option<SystemTime>) -> Result<Self> {
        wait::until("a relay that takes clients", PATIENCE, || {
            Ok(UnixStream::connect(socket).ok())
        })?;
        let address = target(socket)?;
        let request = GetFlowsRequest {
            follow: true,
            since: since.map(Into::into),
            ..GetFlowsRequest::default()
        };
        // A connection of its own, as real clients have.
        let mut flows = RUNTIME.block_on(async {
            let client = Client::connect(&address).await;
            client.connected_nodes(nodes).await;
            client.flows(request).await
        });
        let record: Arc<Mutex<Record>> = Arc::default();
        let gate = Arc::new(Notify::new());
        let (its_record, its_gate) = (Arc::clone(&record), Arc::clone(&gate));
        let task = RUNTIME.spawn(async move {
            its_gate.notified().await;
            loop {
                let next = flows.0.message().await;
                let mut record = lock(&its_record);
                match next {
                    Ok(Some(response)) => record.add(response),
                    Ok(None) => record.end = Some(Status::new(Code::Ok, "")),
                    Err(status) => record.end = Some(status),
                }
                if record.end.is_some() {
                    return;
                }
            }
        });
        Ok(Self {
            record,
            gate,
            task: task.abort_handle(),
        })
    }

    /// Begins to read.
    pub(crate) fn read_on(&self) {
        self.gate.notify_one();
    }

    /// Waits for a flow.
    pub(crate) fn wait_for(&self, node: &str, number: u64) -> Result<()> {
        wait::until(&format!("flow {number} of {node}"), PATIENCE, || {
            let record = lock(&self.record);
            if let Some(end) = &record.end {
                anyhow::bail!("the stream ended: {end}");
            }
            let is_here = record
                .flows
                .iter()
                .rev()
                .any(|seen| seen.node == node && seen.number >= number);
            Ok(is_here.then_some(()))
        })
    }

    /// Waits for so many more flows of a node.
    pub(crate) fn wait_for_more(&self, node: &str, count: u64) -> Result<()> {
        self.wait_for(node, self.last_of(node) + count)
    }

    /// Waits until the newest flow of a node came well within the hold; returns its number.
    pub(crate) fn wait_until_prompt(&self, node: &str) -> Result<u64> {
        wait::until(&format!("a prompt flow of {node}"), PATIENCE, || {
            let record = lock(&self.record);
            let newest = record.flows.iter().rev().find(|seen| seen.node == node);
            let prompt = newest.filter(|seen| seen.took < PROMPT / 3);
            Ok(prompt.map(|seen| seen.number))
        })
    }

    /// The largest number of a node.
    pub(crate) fn last_of(&self, node: &str) -> u64 {
        let record = lock(&self.record);
        let of_node = record.flows.iter().filter(|seen| seen.node == node);
        of_node.map(|seen| seen.number).max().unwrap_or_default()
    }

    /// Waits until these states of a node were told one after the other, whatever was told in between;
    /// returns what was said with the last.
    pub(crate) fn wait_for_states(&self, node: &str, states: &[NodeState]) -> Result<String> {
        let found = wait::until(&format!("{states:?} of {node}"), PATIENCE, || {
            let record = lock(&self.record);
            let mut told = record.told.iter().filter(|(_, name, _)| name == node);
            let last = states
                .iter()
                .map(|state| told.find(|(told, ..)| told == state))
                .last()
                .flatten();
            Ok(last.map(|(.., message)| message.clone()))
        });
        found.map_err(|error| {
            let record = lock(&self.record);
            error.context(format!("told: {:?}, end: {:?}", record.told, record.end))
        })
    }

    /// The last state that was told of a node.
    pub(crate) fn last_state(&self, node: &str) -> Option<NodeState> {
        let record = lock(&self.record);
        let mut told = record.told.iter().rev();
        told.find(|(_, name, _)| name == node)
            .map(|(state, ..)| *state)
    }

    /// How much was told of nodes.
    pub(crate) fn told(&self) -> usize {
        lock(&self.record).told.len()
    }

    /// Waits for the end.
    pub(crate) fn end(&self) -> Result<Status> {
        wait::until("the end of the stream", PATIENCE, || {
            Ok(lock(&self.record).end.clone())
        })
    }

    /// The newest time of a flow.
    pub(crate) fn newest(&self) -> SystemTime {
        let record = lock(&self.record);
        let times = record.flows.iter().map(|seen| seen.at);
        times.max().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Of this node there was each number from `first` to `last` once, in this order.
    pub(crate) fn has_each_once(&self, node: &str, first: u64, last: u64) -> Result<()> {
        let numbers = self.numbers(node);
        ensure!(
            numbers.iter().copied().eq(first..=last),
            "of {node}, expected {first} to {last}: {}",
            difference(&numbers, first, last)
        );
        Ok(())
    }

    /// The same in any order.
    pub(crate) fn has_each_once_somehow(&self, node: &str, last: u64) -> Result<()> {
        let mut numbers = self.numbers(node);
        numbers.sort_unstable();
        ensure!(
            numbers.iter().copied().eq(1..=last),
            "of {node}, expected 1 to {last}: {}",
            difference(&numbers, 1, last)
        );
        Ok(())
    }

    /// Of this node there is each number up to `last` of one process, then each after `next` of another.
    pub(crate) fn has_both(&self, node: &str, last: u64, next: u64) -> Result<()> {
        let numbers = self.numbers(node);
        let expected = (1..=last).chain(next + 1..=self.last_of(node));
        ensure!(
            numbers.iter().copied().eq(expected),
            "of {node}, expected 1 to {last} and what comes after {next}: {numbers:?}"
        );
        Ok(())
    }

    /// Waits for so many flows of a node, whatever their numbers are.
    pub(crate) fn wait_for_count(&self, node: &str, count: u64) -> Result<()> {
        wait::until(&format!("{count} flows of {node}"), PATIENCE, || {
            Ok((self.numbers(node).len() as u64 >= count).then_some(()))
        })
    }

    /// Stops the nodes; each number that they made comes once and in order.
    pub(crate) fn accounts_for<'a>(
        &self,
        nodes: impl IntoIterator<Item = &'a mut Node>,
    ) -> Result<()> {
        // All before anything is waited for: who is quiet holds the others up.
        let made: Vec<_> = nodes
            .into_iter()
            .map(|node| (node.name.clone(), node.stop()))
            .collect();
        made.iter().try_for_each(|(node, last)| {
            self.wait_for(node, *last)?;
            self.has_each_once(node, 1, *last)
        })
    }

    /// Each flow of these nodes was here within the hold.
    pub(crate) fn had_promptly(&self, nodes: &[&str]) -> Result<()> {
        nodes
            .iter()
            .try_for_each(|node| self.had_promptly_after(node, 0))
    }

    /// The same from some number on.
    pub(crate) fn had_promptly_after(&self, node: &str, number: u64) -> Result<()> {
        let record = lock(&self.record);
        let mut of_node = record
            .flows
            .iter()
            .filter(|seen| seen.node == node && seen.number > number)
            .peekable();
        ensure!(of_node.peek().is_some(), "no flows of {node}");
        let late = of_node.find(|seen| seen.took > PROMPT);
        ensure!(late.is_none(), "not within {PROMPT:?}: {late:?}");
        Ok(())
    }

    fn numbers(&self, node: &str) -> Vec<u64> {
        let record = lock(&self.record);
        let of_node = record.flows.iter().filter(|seen| seen.node == node);
        of_node.map(|seen| seen.number).collect()
    }

    /// All numbers that two clients have of a node, each once.
    pub(crate) fn numbers_with(&self, other: &Self, node: &str) -> BTreeSet<u64> {
        self.numbers(node)
            .into_iter()
            .chain(other.numbers(node))
            .collect()
    }

    /// The first number that it has of a node.
    pub(crate) fn first_of(&self, node: &str) -> u64 {
        self.numbers(node).first().copied().unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Record {
    fn add(&mut self, response: GetFlowsResponse) {
        match response.response_types {
            Some(ResponseTypes::Flow(flow)) => {
                let at = SystemTime::try_from(response.time.unwrap()).unwrap();
                self.flows.push(Seen {
                    node: response.node_name,
                    number: flow.uuid.parse().unwrap(),
                    at,
                    took: at.elapsed().unwrap_or_default(),
                });
            }
            Some(ResponseTypes::NodeStatus(event)) => {
                let state = event.state_change();
                for node in event.node_names {
                    self.told.push((state, node, event.message.clone()));
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is wrong with a list of numbers, in few words.
fn difference(numbers: &[u64], first: u64, last: u64) -> String {
    let known: BTreeSet<u64> = numbers.iter().copied().collect();
    let missing: Vec<u64> = (first..=last).filter(|it| !known.contains(it)).collect();
    let unordered = numbers.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    format!(
        "{} came, {} doubled, {unordered} out of order, missing {missing:?}",
        numbers.len(),
        numbers.len() - known.len(),
    )
}

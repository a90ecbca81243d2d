//! Asking a server for flows under conditions, and not believing it more than it knows.
//!
//! Hubble evaluates expressions since 1.16, and older servers do as if there were none. So:
//!
//! - A server whose version knows them is believed.
//! - Behind a relay may be nodes that do not know them: each flow is checked here as well.
//! - Of a server that does not know them, or does not tell its version, everything that the other
//!   filters let through is asked for, and both the condition and the count are applied here.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use flow_api::{
    flow::{FlowFilter, flow_filter::Experimental},
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
};
use flow_filter::Filter;
use futures::{StreamExt as _, future, stream};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};
use tracing::warn;

use super::conditions::Conditions;
use crate::source::{
    Flows,
    server::{Observer, minor_version},
};

/// The release of Hubble that learned to evaluate expressions.
const KNOWS_EXPRESSIONS: (u64, u64) = (1, 16);

/// So many flows are kept to find the latest among them, as where files are read.
const MOST_LAST: u64 = 1_000_000;

/// So much of what is no flow is kept with them: the states of nodes, and gaps.
const MOST_OTHERS: usize = 1_000;

/// What is checked of an answer. Without conditions that is nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked(Option<Arc<Check>>);

#[derive(Debug)]
struct Check {
    filter: Filter,
    /// Fields that a check needs and that were not to be asked for.
    missing: Vec<String>,
    number: u64,
    first: bool,
    follow: bool,
    /// Known once the server has begun to answer.
    belief: OnceLock<Belief>,
}

/// How far the server is believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Belief {
    /// It evaluates conditions.
    Knows,
    /// It may, and so may those behind it.
    Perhaps,
    /// It does not.
    Ignores,
}

impl Checked {
    /// What to check of the answers to a request.
    ///
    /// # Errors
    /// The conditions cannot be evaluated here.
    pub(crate) fn new(conditions: &Conditions, request: &GetFlowsRequest) -> anyhow::Result<Self> {
        let Some(expression) = conditions.expression() else {
            return Ok(Self(None));
        };
        let filter = FlowFilter {
            experimental: Some(Experimental {
                cel_expression: vec![expression],
            }),
            ..FlowFilter::default()
        };
        let mask = request.field_mask.as_ref();
        let paths = mask.map_or(&[][..], |mask| &mask.paths);
        Ok(Self(Some(Arc::new(Check {
            filter: Filter::compile(&[filter], &[])?,
            missing: conditions.missing_in(paths),
            number: request.number,
            first: request.first,
            follow: request.follow,
            belief: OnceLock::new(),
        }))))
    }

    /// Makes the call; again if the server turns out to know nothing of conditions.
    ///
    /// # Errors
    /// The call fails, or the condition can be checked nowhere.
    pub(crate) async fn ask(
        &self,
        observer: &mut Observer,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Streaming<GetFlowsResponse>>, Status> {
        let Some(check) = &self.0 else {
            return observer.get_flows(request).await;
        };
        let metadata = request.metadata().clone();
        let message = request.get_ref().clone();
        let response = observer.get_flows(request).await?;
        let belief = *check.belief.get_or_init(|| believed(response.metadata()));
        if belief != Belief::Ignores {
            return Ok(response);
        }
        check.can_be_done()?;
        warn!("the server does not evaluate --where, so that it is evaluated here");
        if !check.is_counted() {
            return Ok(response);
        }
        drop(response);
        let mut again = Request::new(GetFlowsRequest {
            number: u64::MAX,
            first: false,
            ..message
        });
        *again.metadata_mut() = metadata;
        observer.get_flows(again).await
    }

    /// Those of the answers that meet the conditions, once the server has begun to answer.
    pub(crate) fn only(&self, flows: Flows) -> Flows {
        let Some(check) = self.0.clone() else {
            return flows;
        };
        match check.belief.get() {
            Some(Belief::Perhaps) if check.missing.is_empty() => check.meet(flows),
            Some(Belief::Ignores) => {
                let (first, number) = (check.first, check.number);
                let is_counted = check.is_counted();
                let flows = check.meet(flows);
                match (is_counted, first) {
                    (false, _) => flows,
                    (true, true) => first_of(flows, number),
                    (true, false) => last_of(flows, number),
                }
            }
            Some(Belief::Perhaps | Belief::Knows) | None => flows,
        }
    }
}

impl Check {
    /// Whether a number of flows was asked for that the server counted without the condition.
    fn is_counted(&self) -> bool {
        !self.follow && !matches!(self.number, 0 | u64::MAX)
    }

    /// Whether the condition can be evaluated here.
    fn can_be_done(&self) -> Result<(), Status> {
        if let Some(field) = self.missing.first() {
            return Err(Status::unknown(format!(
                "the server does not evaluate --where, and without {field} it cannot be evaluated \
                 here: add {field} to --field-mask"
            )));
        }
        if self.is_counted() && !self.first && self.number > MOST_LAST {
            let number = self.number;
            return Err(Status::unknown(format!(
                "the server does not evaluate --where, and here --last must be <= 1_000_000, got \
                 {number}"
            )));
        }
        Ok(())
    }

    /// Drops flows that do not meet the condition. What is no flow was sorted out by the server.
    fn meet(self: Arc<Self>, flows: Flows) -> Flows {
        let mut has_warned = self.belief.get() != Some(&Belief::Perhaps);
        flows
            .filter(move |response| {
                let is_wanted = match response {
                    Ok(response) => !is_flow(response) || self.filter.matches(response),
                    Err(_) => true,
                };
                if !is_wanted && !has_warned {
                    has_warned = true;
                    warn!(
                        "a node behind the relay does not evaluate --where, so that it is evaluated \
                         here; --last and --first count what is left out, too"
                    );
                }
                future::ready(is_wanted)
            })
            .boxed()
    }
}

fn is_flow(response: &GetFlowsResponse) -> bool {
    matches!(response.response_types, Some(ResponseTypes::Flow(_)))
}

fn first_of(flows: Flows, number: u64) -> Flows {
    let mut left = number;
    flows
        .take_while(move |response| {
            let is_wanted = left > 0;
            if response.as_ref().is_ok_and(is_flow) {
                left = left.saturating_sub(1);
            }
            future::ready(is_wanted)
        })
        .boxed()
}

/// The latest flows, after all else that was said.
fn last_of(mut flows: Flows, number: u64) -> Flows {
    let most = usize::try_from(number).unwrap_or(usize::MAX);
    stream::once(async move {
        let mut kept = VecDeque::new();
        let mut others = VecDeque::new();
        let mut end = None;
        while let Some(next) = flows.next().await {
            let (queue, most, response) = match next {
                Ok(response) if is_flow(&response) => (&mut kept, most, response),
                Ok(response) => (&mut others, MOST_OTHERS, response),
                Err(error) => {
                    end = Some(Err(error));
                    break;
                }
            };
            if queue.len() == most {
                queue.pop_front();
            }
            queue.push_back(response);
        }
        let all = others.into_iter().chain(kept).map(Ok);
        stream::iter(all.chain(end))
    })
    .flatten()
    .boxed()
}

/// What the server is, by its own words in the head of an answer.
fn believed(headers: &MetadataMap) -> Belief {
    let version = |header| {
        let version = headers.get(header)?.to_str().ok()?;
        minor_version(version)
    };
    let knows = |version| version >= Some(KNOWS_EXPRESSIONS);
    match (
        version("hubble-relay-version"),
        version("hubble-server-version"),
    ) {
        (relay @ Some(_), _) if knows(relay) => Belief::Perhaps,
        (None, server) if knows(server) => Belief::Knows,
        _ => Belief::Ignores,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn belief(headers: &[(&'static str, &str)]) -> Belief {
        let mut map = MetadataMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        believed(&map)
    }

    #[test]
    fn who_knows_expressions_is_told_by_versions() {
        for (headers, expected) in [
            (&[][..], Belief::Ignores),
            (&[("hubble-server-version", "1.15.4")], Belief::Ignores),
            (&[("hubble-server-version", "1.16.0")], Belief::Knows),
            (&[("hubble-server-version", "2.0.0")], Belief::Knows),
            (&[("hubble-server-version", "new")], Belief::Ignores),
            (&[("hubble-relay-version", "1.19.4")], Belief::Perhaps),
            (&[("hubble-relay-version", "1.14.0")], Belief::Ignores),
        ] {
            assert_eq!(belief(headers), expected, "{headers:?}");
        }
    }
}

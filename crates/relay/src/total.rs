//! The first or the last flows of all peers together, for clients that ask for so many in all.
//!
//! Peers are asked for as many each: which of theirs are among those in all turns out in the merge. The
//! first ones are passed on as they come; the last ones are kept until the call ends, and they are
//! copied, so that they pin nothing else of what their peers sent. Status events and gaps are no flows
//! and are passed on at once.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::Bytes;
use flow_api::extension::asks_for_total;
use flow_api::observer::GetFlowsRequest;
use futures::{Stream, StreamExt as _};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::defaults::HELD_BYTES;
use crate::wire::scan;

type Item = Result<Bytes, Status>;

/// Which part of a merged stream is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    First(u64),
    Last(u64),
}

impl Part {
    /// The part that a call wants; `None` for all of the stream. A follow has no end to count from,
    /// and a range that begins somewhere is counted from there, as by a node.
    pub(crate) fn of(request: &GetFlowsRequest, metadata: &MetadataMap) -> Option<Self> {
        if request.number == 0 || request.follow || !asks_for_total(metadata) {
            None
        } else if request.first || request.since.is_some() {
            Some(Self::First(request.number))
        } else {
            Some(Self::Last(request.number))
        }
    }
}

struct Cut<S> {
    merged: Pin<Box<S>>,
    part: Part,
    kept: VecDeque<Bytes>,
    bytes: usize,
    /// What the stream ended with, when it has.
    end: Option<Option<Status>>,
}

/// The wanted part of a stream.
pub(crate) fn cut(
    merged: impl Stream<Item = Item> + Send + 'static,
    part: Part,
) -> impl Stream<Item = Item> + Send + 'static {
    let cut = Cut {
        merged: Box::pin(merged),
        part,
        kept: VecDeque::new(),
        bytes: 0,
        end: None,
    };
    futures::stream::unfold(cut, |mut cut| async move {
        let item = cut.next().await?;
        Some((item, cut))
    })
}

impl<S: Stream<Item = Item>> Cut<S> {
    async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(end) = &mut self.end {
                return match self.kept.pop_front() {
                    Some(flow) => Some(Ok(flow)),
                    None => end.take().map(Err),
                };
            }
            let message = match self.merged.next().await {
                Some(Ok(message)) => message,
                Some(Err(status)) => {
                    self.end = Some(Some(status));
                    continue;
                }
                None => {
                    self.end = Some(None);
                    continue;
                }
            };
            if !scan(&message).is_ok_and(|envelope| envelope.is_flow) {
                return Some(Ok(message));
            }
            match &mut self.part {
                // What follows is only how the stream ends.
                Part::First(0) => {}
                Part::First(left) => {
                    *left -= 1;
                    return Some(Ok(message));
                }
                Part::Last(number) => {
                    if self.kept.len() as u64 == *number
                        && let Some(oldest) = self.kept.pop_front()
                    {
                        self.bytes -= oldest.len();
                    }
                    self.bytes += message.len();
                    self.kept.push_back(Bytes::copy_from_slice(&message));
                    if self.bytes > HELD_BYTES {
                        let number = *number;
                        self.kept.clear();
                        self.end = Some(None);
                        return Some(Err(too_many(number)));
                    }
                }
            }
        }
    }
}

fn too_many(number: u64) -> Status {
    let mebibytes = HELD_BYTES >> 20;
    Status::resource_exhausted(format!(
        "the last {number} flows of all nodes take more than {mebibytes} MiB, which is what the relay \
         keeps for a call: ask for fewer, or for those of each node"
    ))
}

#[cfg(test)]
mod tests {
    use flow_api::extension::ask_for_total;
    use flow_api::flow::{Flow, LostEvent};
    use flow_api::observer::GetFlowsResponse;
    use flow_api::observer::get_flows_response::ResponseTypes;
    use prost::Message as _;

    use super::*;

    fn flow(uuid: &str) -> Bytes {
        let flow = Flow {
            uuid: uuid.to_owned(),
            ..Flow::default()
        };
        encoded(ResponseTypes::Flow(flow))
    }

    fn encoded(what: ResponseTypes) -> Bytes {
        let response = GetFlowsResponse {
            response_types: Some(what),
            ..GetFlowsResponse::default()
        };
        response.encode_to_vec().into()
    }

    async fn part(items: Vec<Item>, part: Part) -> Vec<String> {
        let cut = cut(futures::stream::iter(items), part);
        let shown = cut.map(|item| match item {
            Err(status) => format!("{:?}", status.code()),
            Ok(bytes) => match GetFlowsResponse::decode(bytes).unwrap().response_types {
                Some(ResponseTypes::Flow(flow)) => flow.uuid,
                other => format!("{}", other.is_some()),
            },
        });
        shown.collect().await
    }

    fn stream() -> Vec<Item> {
        let lost = encoded(ResponseTypes::LostEvents(LostEvent::default()));
        let end = Status::ok("the coverage is told by a status that is none");
        vec![
            Ok(flow("a")),
            Ok(lost),
            Ok(flow("b")),
            Ok(flow("c")),
            Err(end),
        ]
    }

    #[tokio::test]
    async fn the_first_are_passed_on_and_the_last_when_all_is_known() {
        let first = part(stream(), Part::First(2)).await;
        assert_eq!(first, ["a", "true", "b", "Ok"]);
        let last = part(stream(), Part::Last(2)).await;
        assert_eq!(last, ["true", "b", "c", "Ok"]);
        let more = part(stream(), Part::Last(9)).await;
        assert_eq!(more, ["true", "a", "b", "c", "Ok"]);
    }

    #[tokio::test]
    async fn more_than_a_call_may_hold_is_refused() {
        let large = flow(&"x".repeat(1 << 20));
        let items = vec![Ok(large); 20];
        let last = part(items, Part::Last(20)).await;
        assert_eq!(last, ["ResourceExhausted"]);
    }

    #[test]
    fn only_a_finite_call_that_asks_has_a_number_in_all() {
        let mut metadata = MetadataMap::new();
        let mut request = GetFlowsRequest {
            number: 5,
            ..GetFlowsRequest::default()
        };
        assert_eq!(Part::of(&request, &metadata), None);
        ask_for_total(&mut metadata);
        assert_eq!(Part::of(&request, &metadata), Some(Part::Last(5)));
        request.first = true;
        assert_eq!(Part::of(&request, &metadata), Some(Part::First(5)));
        request.follow = true;
        assert_eq!(Part::of(&request, &metadata), None);
    }
}

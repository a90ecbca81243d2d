//! The names of nodes, as clients get them: messages of a peer in, the same with full names out.
//!
//! A full name begins with the node's cluster, as `east/node-1`, but for those of the cluster `default`.
//! A peer whose own name has a cluster, be it a node or a relay, tells of nothing else: names that come
//! from it without one get its cluster. Where there is no name at all, it is the peer's own. All other
//! names stay, and so do the bytes of their messages.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use flow_api::flow::FlowFilter;
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::observer::{GetFlowsRequest, GetFlowsResponse};
use prost::Message as _;
use prost::encoding::encode_varint;

use crate::peers::DEFAULT_CLUSTER;
use crate::wire::Envelope;

/// Before the length of `GetFlowsResponse.node_name`: field 1000, with a length.
const NODE_NAME: [u8; 2] = [0xc2, 0x3e];

/// What a relay tells of its nodes is decoded up to this size: some 16,000 names. Decoded, it takes up to
/// twelve times as much.
const LONGEST_STATUS: usize = 1024 * 1024;

/// What is known of the names that one peer tells.
#[derive(Debug)]
pub(crate) struct Names {
    peer: Arc<str>,
    /// The cluster of those that do not say theirs.
    cluster: Option<Box<str>>,
    /// Whether messages without a name get one.
    adds: bool,
}

impl Names {
    /// Of a peer of this name.
    pub(crate) fn of(peer: Arc<str>) -> Self {
        let cluster = peer.split_once('/').map(|(cluster, _)| cluster);
        let cluster = cluster.filter(|it| !it.is_empty() && *it != DEFAULT_CLUSTER);
        Self {
            cluster: cluster.map(Into::into),
            peer,
            adds: true,
        }
    }

    /// The same for the answers to a request, which may have asked for messages without names.
    pub(crate) fn in_answer(peer: Arc<str>, request: &GetFlowsRequest) -> Self {
        let mask = request.field_mask.as_ref().map_or(&[][..], |it| &it.paths);
        let adds = mask.is_empty() || mask.iter().any(|path| path == "node_name");
        Self {
            adds,
            ..Self::of(peer)
        }
    }

    /// The cluster that names belong to if they do not say it.
    pub(crate) fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The full name of a node; `None` where it is that already.
    fn full(&self, name: &str) -> Option<Cow<'_, str>> {
        if name.is_empty() {
            return self.adds.then_some(Cow::Borrowed(&*self.peer));
        }
        let cluster = self.cluster()?;
        (!name.contains('/')).then(|| Cow::Owned(format!("{cluster}/{name}")))
    }

    /// Makes a name full.
    pub(crate) fn complete(&self, name: &mut String) {
        if let Some(full) = self.full(name) {
            *name = full.into_owned();
        }
    }

    /// The message with full names; `None` where it has them already.
    pub(crate) fn completed(&self, message: &[u8], envelope: &Envelope<'_>) -> Option<Bytes> {
        let full = self.full(envelope.node_name);
        let is_status = !envelope.is_flow && message.len() <= LONGEST_STATUS;
        if is_status
            && self.cluster().is_some()
            && let Some(completed) = self.completed_status(message, full.as_deref())
        {
            return Some(completed);
        }
        full.map(|full| spliced(message, envelope.node_name, &full))
    }

    /// The same for what is no flow: what a relay tells of its nodes has names in it, too. There is
    /// little of it. `None` where it cannot be read.
    fn completed_status(&self, message: &[u8], full: Option<&str>) -> Option<Bytes> {
        let mut response = GetFlowsResponse::decode(message).ok()?;
        if let Some(ResponseTypes::NodeStatus(event)) = &mut response.response_types {
            for name in &mut event.node_names {
                self.complete(name);
            }
        }
        if let Some(full) = full {
            response.node_name = full.to_owned();
        }
        Some(response.encode_to_vec().into())
    }

    /// Filters by the full names of nodes find them by those that they give themselves, too: without
    /// a cluster, which servers read as the default one.
    pub(crate) fn widen(&self, request: &mut GetFlowsRequest) {
        let Some(cluster) = self.cluster() else {
            return;
        };
        let widen = |filter: &mut FlowFilter| {
            let own = filter.node_name.iter().filter_map(|pattern| {
                let (of, node) = pattern.split_once('/')?;
                (of == cluster).then(|| format!("{DEFAULT_CLUSTER}/{node}"))
            });
            let own: Vec<_> = own.collect();
            filter.node_name.extend(own);
        };
        request.whitelist.iter_mut().for_each(widen);
        request.blacklist.iter_mut().for_each(widen);
    }
}

/// A message with another name in the place of the one that was read of it.
fn spliced(message: &[u8], name: &str, full: &str) -> Bytes {
    let (before, after) = around(message, name).unwrap_or((message, &[]));
    let mut bytes = Vec::with_capacity(message.len() + full.len() + 8);
    bytes.extend_from_slice(before);
    bytes.extend_from_slice(&NODE_NAME);
    encode_varint(full.len() as u64, &mut bytes);
    bytes.extend_from_slice(full.as_bytes());
    bytes.extend_from_slice(after);
    bytes.into()
}

/// What stands before and behind the field with this name, which is a part of the message. `None` where
/// there is no such field, or it is written as no library does. Then a second field behind all others
/// will do: the last one counts.
fn around<'a>(message: &'a [u8], name: &str) -> Option<(&'a [u8], &'a [u8])> {
    if name.is_empty() {
        return None;
    }
    let start = name.as_ptr().addr().checked_sub(message.as_ptr().addr())?;
    let mut field = NODE_NAME.to_vec();
    encode_varint(name.len() as u64, &mut field);
    let before = message.get(..start)?.strip_suffix(&*field)?;
    Some((before, message.get(start + name.len()..)?))
}

#[cfg(test)]
mod tests {
    use flow_api::flow::Flow;
    use flow_api::relay::NodeStatusEvent;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::scan;

    fn response(node_name: &str, what: ResponseTypes) -> GetFlowsResponse {
        GetFlowsResponse {
            response_types: Some(what),
            node_name: node_name.to_owned(),
            time: Some(prost_types::Timestamp {
                seconds: 7,
                nanos: 8,
            }),
        }
    }

    fn flow(node_name: &str) -> GetFlowsResponse {
        response(node_name, ResponseTypes::Flow(Flow::default()))
    }

    /// The message as clients get it, where that is not as it came.
    fn completed(names: &Names, message: &[u8]) -> Option<GetFlowsResponse> {
        let bytes = names.completed(message, &scan(message).unwrap())?;
        Some(GetFlowsResponse::decode(bytes).unwrap())
    }

    #[test]
    fn names_without_a_cluster_get_that_of_their_peer_and_no_name_is_the_peers() {
        let east = Names::of("east/relay".into());
        let plain = Names::of("node-1".into());
        let default = Names::of("default/node-1".into());
        for (names, name, expected) in [
            (&east, "node-1", Some("east/node-1")),
            (&east, "west/node-1", None),
            (&east, "", Some("east/relay")),
            (&plain, "other", None),
            (&plain, "west/other", None),
            (&plain, "", Some("node-1")),
            (&default, "other", None),
        ] {
            let message = flow(name);
            let expected = expected.map(|name| GetFlowsResponse {
                node_name: name.to_owned(),
                ..message.clone()
            });
            assert_eq!(completed(names, &message.encode_to_vec()), expected);
        }
    }

    #[test]
    fn what_a_relay_tells_of_its_nodes_gets_their_clusters_too() {
        let event = |names: [&str; 2]| {
            ResponseTypes::NodeStatus(NodeStatusEvent {
                node_names: names.map(str::to_owned).to_vec(),
                ..NodeStatusEvent::default()
            })
        };
        let message = response("relay", event(["a", "west/b"])).encode_to_vec();
        let east = Names::of("east/relay".into());
        let expected = response("east/relay", event(["east/a", "west/b"]));
        assert_eq!(completed(&east, &message), Some(expected));
        assert_eq!(completed(&Names::of("relay".into()), &message), None);
    }

    #[test]
    fn nothing_is_added_where_names_were_not_asked_for() {
        let mut request = GetFlowsRequest {
            field_mask: Some(prost_types::FieldMask {
                paths: vec!["time".to_owned()],
            }),
            ..GetFlowsRequest::default()
        };
        let message = flow("").encode_to_vec();
        let names = Names::in_answer("node-1".into(), &request);
        assert_eq!(completed(&names, &message), None);
        request.field_mask.as_mut().unwrap().paths[0] = "node_name".to_owned();
        let names = Names::in_answer("node-1".into(), &request);
        assert!(completed(&names, &message).is_some());
    }

    #[test]
    fn filters_for_full_names_find_those_without_a_cluster() {
        let request = |patterns: &[&str]| GetFlowsRequest {
            whitelist: vec![FlowFilter {
                node_name: patterns.iter().map(ToString::to_string).collect(),
                ..FlowFilter::default()
            }],
            ..GetFlowsRequest::default()
        };
        let mut asked = request(&["east/a*", "west/b", "c"]);
        Names::of("east/relay".into()).widen(&mut asked);
        assert_eq!(asked, request(&["east/a*", "west/b", "c", "default/a*"]));
        Names::of("relay".into()).widen(&mut asked);
        assert_eq!(asked, request(&["east/a*", "west/b", "c", "default/a*"]));
    }

    #[test]
    fn a_name_that_is_written_as_nobody_does_is_followed_by_the_full_one() {
        // Its length, 1, in two bytes.
        let message = [0xc2, 0x3e, 0x81, 0x00, b'n', 0x0a, 0x00];
        let east = Names::of("east/relay".into());
        assert_eq!(completed(&east, &message).unwrap().node_name, "east/n");
    }

    proptest! {
        #[test]
        fn only_the_name_changes(
            before in proptest::collection::vec(any::<u8>(), 0..40),
            after in proptest::collection::vec(any::<u8>(), 0..40),
            name in "[a-z]{1,200}",
        ) {
            // Fields that nobody knows, around the name.
            let mut message = vec![0xd2, 0x3e];
            encode_varint(before.len() as u64, &mut message);
            message.extend(&before);
            let start = message.len();
            message.extend(NODE_NAME);
            encode_varint(name.len() as u64, &mut message);
            message.extend(name.as_bytes());
            let end = message.len();
            message.extend([0xda, 0x3e]);
            encode_varint(after.len() as u64, &mut message);
            message.extend(&after);

            let east = Names::of("east/relay".into());
            let completed = east.full(&name).unwrap();
            let scanned = scan(&message).unwrap();
            let bytes = spliced(&message, scanned.node_name, &completed);
            prop_assert_eq!(scan(&bytes).unwrap().node_name, format!("east/{name}"));
            prop_assert_eq!(&bytes[..start], &message[..start]);
            prop_assert!(bytes.ends_with(&message[end..]));
        }
    }
}

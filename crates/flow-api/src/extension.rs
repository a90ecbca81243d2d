//! Further facts about a flow, for clients that ask.
//!
//! A client asks by packing a [`FlowDetailRequest`] into the `extensions` of its request; a server
//! that knows it packs a [`FlowDetail`] into those of each flow. Others leave both alone.

use prost::{Message, Name};
use prost_types::Any;

use crate::{
    observer::GetFlowsRequest,
    palomar::{FlowDetail, FlowDetailRequest},
};

/// In the metadata of a `GetFlows` call: its field mask is that of what text shows, in which
/// Hubble's clients leave out the names that an address is known by, and names are welcome.
const NAMES: &str = "palomar-names";
/// What the mask is then understood to hold, too.
const NAME_FIELDS: [&str; 2] = ["source_names", "destination_names"];

/// In the metadata of a `GetFlows` call: the number of the request is that of the whole answer, and
/// not of each node's part in it.
const TOTAL: &str = "palomar-total";

const PREFIX: &str = "type.googleapis.com/";

impl Name for FlowDetail {
    const NAME: &'static str = "FlowDetail";
    const PACKAGE: &'static str = "palomar";
}

impl Name for FlowDetailRequest {
    const NAME: &'static str = "FlowDetailRequest";
    const PACKAGE: &'static str = "palomar";
}

/// What to put into `GetFlowsRequest.extensions` to get a [`FlowDetail`] with each flow.
#[must_use]
pub fn ask_for_flow_detail() -> Any {
    pack(&FlowDetailRequest {})
}

/// Whether a request asks for a [`FlowDetail`] with each flow.
#[must_use]
pub fn asks_for_flow_detail(extensions: Option<&Any>) -> bool {
    extensions.is_some_and(holds::<FlowDetailRequest>)
}

/// Asks for the names of a flow's ends beside the fields of the mask. Servers that do not know of it
/// send what the mask says.
pub fn ask_for_names(request: &mut tonic::Request<GetFlowsRequest>) {
    let yes = tonic::metadata::AsciiMetadataValue::from_static("1");
    request.metadata_mut().insert(NAMES, yes);
}

/// Asks for as many flows in all as the request's number says. A relay that does not know of it sends as
/// many of each node; a node sends its own in any case.
pub fn ask_for_total(metadata: &mut tonic::metadata::MetadataMap) {
    let yes = tonic::metadata::AsciiMetadataValue::from_static("1");
    metadata.insert(TOTAL, yes);
}

/// Whether a call's number is that of the whole answer.
#[must_use]
pub fn asks_for_total(metadata: &tonic::metadata::MetadataMap) -> bool {
    metadata.contains_key(TOTAL)
}

/// What a call asks for, with the names in its mask where it wants them.
#[must_use]
pub fn asked(call: tonic::Request<GetFlowsRequest>) -> GetFlowsRequest {
    let with_names = call.metadata().contains_key(NAMES);
    let mut request = call.into_inner();
    // Without a mask, everything is asked for.
    if with_names
        && let Some(mask) = &mut request.field_mask
        && !mask.paths.is_empty()
    {
        mask.paths.extend(NAME_FIELDS.map(str::to_owned));
    }
    request
}

/// The message for `Flow.extensions`.
#[must_use]
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: format!("{PREFIX}{}", M::full_name()),
        value: message.encode_to_vec(),
    }
}

/// The detail of a flow, if it has one and that can be read.
#[must_use]
pub fn flow_detail(extensions: Option<&Any>) -> Option<FlowDetail> {
    let any = extensions.filter(|any| holds::<FlowDetail>(any))?;
    FlowDetail::decode(&*any.value).ok()
}

/// Whether this is the detail of a flow.
#[must_use]
pub fn is_flow_detail(extensions: Option<&Any>) -> bool {
    extensions.is_some_and(holds::<FlowDetail>)
}

fn holds<M: Name>(any: &Any) -> bool {
    any.type_url
        .rsplit_once('/')
        .is_some_and(|(_, name)| name == M::full_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_whether_it_asks() {
        assert!(asks_for_flow_detail(Some(&ask_for_flow_detail())));
        assert!(!asks_for_flow_detail(None));
        let other = Any {
            type_url: "type.googleapis.com/flow.Flow".to_owned(),
            value: Vec::new(),
        };
        assert!(!asks_for_flow_detail(Some(&other)));
    }

    #[test]
    fn a_detail_comes_back_as_it_was_packed() {
        let detail = FlowDetail {
            vlan_id: 7,
            ..FlowDetail::default()
        };
        assert_eq!(flow_detail(Some(&pack(&detail))), Some(detail));
        assert_eq!(flow_detail(Some(&ask_for_flow_detail())), None);
    }

    #[test]
    fn names_are_added_to_a_mask_and_only_when_asked_for() {
        let call = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
            let field_mask = Some(prost_types::FieldMask { paths });
            tonic::Request::new(GetFlowsRequest {
                field_mask,
                ..GetFlowsRequest::default()
            })
        };
        let paths = |call| asked(call).field_mask.map(|mask| mask.paths);
        assert_eq!(paths(call(&["time"])), Some(vec!["time".to_owned()]));
        let mut wanted = call(&["time"]);
        ask_for_names(&mut wanted);
        let expected = ["time", "source_names", "destination_names"].map(str::to_owned);
        assert_eq!(paths(wanted), Some(expected.to_vec()));
        let mut everything = call(&[]);
        ask_for_names(&mut everything);
        assert_eq!(paths(everything), Some(Vec::new()));
    }
}

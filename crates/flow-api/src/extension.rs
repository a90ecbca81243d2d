//! Further facts about a flow, for clients that ask.
//!
//! A client asks by packing a [`FlowDetailRequest`] into the `extensions` of its request; a server
//! that knows it packs a [`FlowDetail`] into those of each flow. Others leave both alone.

use prost::{Message, Name};
use prost_types::Any;

use crate::palomar::{FlowDetail, FlowDetailRequest};

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
}

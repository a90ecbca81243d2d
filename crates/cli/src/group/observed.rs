//! A flow that values are taken from.

use std::cell::OnceCell;

use flow_api::{
    extension,
    flow::{Flow, layer4::Protocol, layer7::Record},
    palomar::FlowDetail,
};
use prost::Message as _;

use crate::filters::fields::End;

/// A flow, with what takes work to get at made once and when it is asked for.
pub(crate) struct Observed<'f> {
    pub(crate) flow: &'f Flow,
    detail: OnceCell<Option<FlowDetail>>,
    encoded: OnceCell<Vec<u8>>,
}

impl<'f> Observed<'f> {
    pub(crate) fn new(flow: &'f Flow) -> Self {
        Self {
            flow,
            detail: OnceCell::new(),
            encoded: OnceCell::new(),
        }
    }

    /// What goes beyond Hubble's flows, where the server told it.
    pub(crate) fn detail(&self) -> Option<&FlowDetail> {
        self.detail
            .get_or_init(|| extension::flow_detail(self.flow.extensions.as_ref()))
            .as_ref()
    }

    /// The bytes of that; empty where there is none.
    pub(super) fn encoded_detail(&self) -> &[u8] {
        match &self.flow.extensions {
            Some(any) if extension::is_flow_detail(Some(any)) => &any.value,
            _ => &[],
        }
    }

    /// The flow as it is on the wire.
    pub(super) fn encoded(&self) -> &[u8] {
        self.encoded.get_or_init(|| self.flow.encode_to_vec())
    }

    /// Where whoever opened the connection stands. Taken for the source where nobody knows, as the
    /// text formats do.
    pub(super) fn opener(&self) -> End {
        match self.flow.is_reply {
            Some(true) => End::Destination,
            Some(false) | None => End::Source,
        }
    }

    pub(super) fn record(&self) -> Option<&Record> {
        self.flow.l7.as_ref()?.record.as_ref()
    }

    pub(super) fn transport(&self) -> Option<&Protocol> {
        self.flow.l4.as_ref()?.protocol.as_ref()
    }
}

//! Filters with fields that this relay does not know: calls in, the same with a note of such a field out.
//!
//! To decode a message is to leave out what is unknown, and a filter with fewer fields lets more through:
//! one with none lets everything through. Its nodes may know the field, and would not be asked. A server
//! of Hubble's overlooks it as well; but a relay that answers another question than it was asked may show
//! what nobody was to see, or hide what somebody looks for.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flow_api::flow::FlowFilter;
use flow_api::frames::PREFIX;
use flow_api::json::unknown_field_number;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::answer::MAX_MESSAGE;
use crate::call::Method;
use crate::wire::{Fields, Value};

/// `GetFlowsRequest.blacklist`.
const BLACKLIST: u32 = 5;
/// `GetFlowsRequest.whitelist`.
const WHITELIST: u32 = 6;

/// What this relay would overlook in a request, of which it is an extension.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Overlooked(String);

impl Overlooked {
    /// The first such thing in an encoded `GetFlowsRequest`.
    fn in_request(message: &[u8]) -> Option<Self> {
        let mut fields = Fields(message);
        loop {
            let (list, filter) = match fields.next() {
                Ok(Some((BLACKLIST, Value::Bytes(filter)))) => ("blacklist", filter),
                Ok(Some((WHITELIST, Value::Bytes(filter)))) => ("whitelist", filter),
                Ok(Some(_)) => continue,
                Ok(None) => return None,
                // Decoders refuse it, or step over a group, and filters may follow.
                Err(reason) => return Some(Self(format!("what is no field: {reason}"))),
            };
            if let Some(number) = unknown_field_number::<FlowFilter>(filter) {
                return Some(Self(format!("field {number} of a filter in the {list}")));
            }
        }
    }

    /// The answer to such a request.
    pub(crate) fn refusal(&self) -> Status {
        let Self(what) = self;
        Status::invalid_argument(format!(
            "this relay would overlook {what}: ask without it, or by a newer relay"
        ))
    }
}

/// Services that are told what they would overlook in calls for flows.
#[derive(Clone, Debug)]
pub(crate) struct Examined<S> {
    pub(crate) inner: S,
}

impl<S> Service<Request<Body>> for Examined<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != Method::Flows.path() {
            return Box::pin(self.inner.call(request));
        }
        let (mut head, body) = request.into_parts();
        // The one that was found ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let body = match Limited::new(body, PREFIX + MAX_MESSAGE).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => {
                    let status =
                        Status::invalid_argument(format!("the request cannot be read: {error}"));
                    return Ok(status.into_http());
                }
            };
            let overlooked = body.get(PREFIX..).and_then(Overlooked::in_request);
            if let Some(overlooked) = overlooked {
                head.extensions.insert(overlooked);
            }
            let body = Body::new(Full::<Bytes>::new(body));
            inner.call(Request::from_parts(head, body)).await
        })
    }
}

#[cfg(test)]
mod tests {
    use flow_api::observer::GetFlowsRequest;
    use prost::Message as _;

    use super::*;

    /// A request with a filter that also has field 41, behind another one, in this list.
    fn request(list: u32) -> Vec<u8> {
        let known = FlowFilter {
            source_pod: vec!["shop/".to_owned()],
            ..FlowFilter::default()
        };
        let request = GetFlowsRequest {
            number: 20,
            whitelist: vec![known.clone()],
            blacklist: vec![known.clone()],
            ..GetFlowsRequest::default()
        };
        let mut filter = known.encode_to_vec();
        filter.extend([0xca, 0x02, 1, b'x']);
        let mut message = request.encode_to_vec();
        message.extend([(list << 3 | 2) as u8, filter.len() as u8]);
        message.extend(filter);
        message
    }

    #[test]
    fn a_field_is_named_with_the_list_that_its_filter_is_in() {
        for (list, name) in [(WHITELIST, "whitelist"), (BLACKLIST, "blacklist")] {
            let message = request(list);
            GetFlowsRequest::decode(&*message).expect("decoders overlook it");
            let expected = format!("field 41 of a filter in the {name}");
            assert_eq!(Overlooked::in_request(&message), Some(Overlooked(expected)));
        }
    }

    #[test]
    fn nothing_hides_behind_a_group_and_other_fields_of_a_request_may_be_unknown() {
        let group = [0xcb, 0x02, 0xcc, 0x02];
        let hidden = [&group, &*request(WHITELIST)].concat();
        GetFlowsRequest::decode(&*hidden).expect("decoders step over it");
        assert!(Overlooked::in_request(&hidden).is_some());

        let mut message = GetFlowsRequest::default().encode_to_vec();
        message.extend([0xca, 0x02, 1, b'x']);
        assert_eq!(Overlooked::in_request(&message), None);
    }

    #[test]
    fn the_lists_are_where_the_contract_has_them() {
        let filters = vec![FlowFilter::default()];
        let mut request = GetFlowsRequest {
            whitelist: filters.clone(),
            ..GetFlowsRequest::default()
        };
        assert_eq!(request.encode_to_vec(), [(WHITELIST << 3 | 2) as u8, 0]);
        (request.whitelist, request.blacklist) = (Vec::new(), filters);
        assert_eq!(request.encode_to_vec(), [(BLACKLIST << 3 | 2) as u8, 0]);
    }
}

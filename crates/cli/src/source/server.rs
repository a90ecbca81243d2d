//! Calls to a server, and what went wrong with them in words.

mod reach;

use std::{error::Error, future::Future, time::Duration};

use base64::Engine as _;
use flow_api::{HUBBLE_VERSION, code_name, observer::observer_client::ObserverClient};
use futures::{StreamExt as _, stream};
use tonic::{
    Code, Request, Response, Status, Streaming, TimeoutExpired,
    metadata::{AsciiMetadataValue, MetadataMap},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use tracing::warn;

pub(crate) use self::reach::check_files;
use super::Responses;
use crate::forward::Forward;
use crate::settings::Settings;

/// A connection whose calls carry what the user has to say of himself.
type Caller = InterceptedService<Channel, Credentials>;

/// Who asks for flows.
pub(crate) type Observer = ObserverClient<Caller>;

/// A server that answers.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    caller: Caller,
    request_timeout_ns: i64,
    name: String,
    /// The way to it, if it is in a cluster.
    forward: Option<Forward>,
}

impl Server {
    /// The server at the other end of a connection.
    pub(crate) fn on(
        name: String,
        channel: Channel,
        credentials: Credentials,
        request_timeout: Duration,
    ) -> Self {
        Self {
            caller: InterceptedService::new(channel, credentials),
            request_timeout_ns: i64::try_from(request_timeout.as_nanos()).unwrap_or(i64::MAX),
            name,
            forward: None,
        }
    }

    /// Who answers: the address as it was given, without the mark for TLS, or a pod.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A client for the Observer service.
    pub(crate) fn observer(&self) -> Observer {
        ObserverClient::new(self.caller.clone())
    }

    /// A client for the health service.
    pub(crate) fn health(&self) -> HealthClient<Caller> {
        HealthClient::new(self.caller.clone())
    }

    /// A client for the Peer service.
    pub(crate) fn peer(&self) -> flow_api::peer::peer_client::PeerClient<Caller> {
        flow_api::peer::peer_client::PeerClient::new(self.caller.clone())
    }

    /// A client for what a server tells of its services.
    pub(crate) fn reflection(&self) -> ServerReflectionClient<Caller> {
        ServerReflectionClient::new(self.caller.clone())
    }

    /// A client for what an agent says about itself.
    pub(crate) fn agent(&self) -> flow_api::palomar::agent_client::AgentClient<Caller> {
        flow_api::palomar::agent_client::AgentClient::new(self.caller.clone())
    }

    /// Makes a call that has one answer, within the time for such calls.
    ///
    /// # Errors
    /// The call fails, or takes too long.
    pub(crate) async fn unary<I, O, F>(
        &self,
        message: I,
        call: impl FnOnce(Request<I>) -> F,
    ) -> Result<O, RpcError>
    where
        F: Future<Output = Result<Response<O>, Status>>,
    {
        let timeout = u64::try_from(self.request_timeout_ns)
            .ok()
            .filter(|timeout| *timeout > 0)
            .map(Duration::from_nanos)
            .ok_or_else(RpcError::late)?;
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        let response = tokio::time::timeout(timeout, call(request))
            .await
            .map_err(|_elapsed| RpcError::late())??;
        compare_versions(response.metadata());
        Ok(response.into_inner())
    }

    /// Makes a call that has a stream of answers.
    ///
    /// # Errors
    /// The call fails before the first answer.
    pub(crate) async fn streaming<I, O, F>(
        &self,
        message: I,
        call: impl FnOnce(Request<I>) -> F,
    ) -> Result<Responses<O>, RpcError>
    where
        F: Future<Output = Result<Response<Streaming<O>>, Status>>,
        O: Send + 'static,
    {
        self.streaming_to_end(message, call, |_trailers| {}).await
    }

    /// As [`Server::streaming`]; `ended` hears what the server says at the end of its answers.
    ///
    /// # Errors
    /// The call fails before the first answer.
    pub(crate) async fn streaming_to_end<I, O, F>(
        &self,
        message: I,
        call: impl FnOnce(Request<I>) -> F,
        ended: impl FnOnce(&MetadataMap) + Send + 'static,
    ) -> Result<Responses<O>, RpcError>
    where
        F: Future<Output = Result<Response<Streaming<O>>, Status>>,
        O: Send + 'static,
    {
        let response = call(Request::new(message)).await?;
        compare_versions(response.metadata());
        let responses = response.into_inner();
        Ok(stream::unfold(Some((responses, ended)), |responses| async {
            let (mut responses, ended) = responses?;
            match responses.message().await {
                Ok(Some(response)) => Some((Ok(response), Some((responses, ended)))),
                Ok(None) => {
                    if let Ok(Some(trailers)) = responses.trailers().await {
                        ended(&trailers);
                    }
                    None
                }
                Err(status) => {
                    ended(status.metadata());
                    Some((Err(RpcError::from(status).into()), None))
                }
            }
        })
        .boxed())
    }
}

/// Puts user name and password on every call.
#[derive(Clone, Debug)]
pub(crate) struct Credentials(Option<AsciiMetadataValue>);

impl Credentials {
    /// For servers that need not know who asks.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Whether there is anything to say.
    pub(crate) const fn are_given(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let Some((name, password)) = settings.basic_auth() else {
            return Ok(Self(None));
        };
        let encoded =
            base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        let mut value: AsciiMetadataValue = format!("Basic {encoded}").parse()?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// How a call failed, in the words of gRPC.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("rpc error: code = {} desc = {message}", code_name(*.code))]
pub(crate) struct RpcError {
    /// What kind of failure.
    pub(crate) code: Code,
    /// What the server says about it, or what we know of a connection that broke.
    pub(crate) message: String,
}

impl From<Status> for RpcError {
    fn from(status: Status) -> Self {
        // Only what happened on our side has a cause; servers send a code and a text.
        match status.source() {
            Some(source) if causes(source).any(|cause| cause.is::<TimeoutExpired>()) => {
                Self::late()
            }
            Some(source) => Self {
                code: Code::Unavailable,
                message: match causes(source).last() {
                    Some(cause) => format!("connection error: {cause}"),
                    None => "connection error".to_owned(),
                },
            },
            None if status.code() == Code::OutOfRange && status.message().contains(TOO_LARGE) => {
                Self {
                    code: Code::ResourceExhausted,
                    message: status.message().to_owned(),
                }
            }
            None => Self {
                code: status.code(),
                message: status.message().to_owned(),
            },
        }
    }
}

/// What our decoder says of a message beyond its limit. It takes another code than other gRPC
/// programs do.
const TOO_LARGE: &str = "message length too large";

impl RpcError {
    /// The call took longer than it may.
    fn late() -> Self {
        Self {
            code: Code::DeadlineExceeded,
            message: "context deadline exceeded".to_owned(),
        }
    }
}

/// An error and what caused it, the innermost last.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Warns if the server follows a newer contract than we do.
fn compare_versions(headers: &MetadataMap) {
    let ours = minor_version(HUBBLE_VERSION);
    let newer = |header: &str| {
        let version = headers.get(header)?.to_str().ok()?.to_owned();
        (minor_version(&version)? > ours?).then_some(version)
    };
    if let Some(version) = newer("hubble-relay-version") {
        warn!(
            cli = HUBBLE_VERSION,
            relay = version,
            "Hubble CLI version is lower than Hubble Relay, API compatibility is not guaranteed, \
             updating to a matching or higher version is recommended"
        );
    }
    if let Some(version) = newer("hubble-server-version") {
        warn!(
            cli = HUBBLE_VERSION,
            server = version,
            "Hubble CLI version is lower than Hubble Server, API compatibility is not guaranteed, \
             updating to a matching or higher version is recommended"
        );
    }
}

/// Major and minor number of a version such as `v1.19.4-rc.1+gabc`.
pub(crate) fn minor_version(version: &str) -> Option<(u64, u64)> {
    let version = version.trim().trim_start_matches('v');
    let numbers = version.split(['-', '+']).next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let major = parts.next()??;
    let minor = match parts.next() {
        Some(minor) => minor?,
        None => 0,
    };
    // The patch level does not count, but a text there is no version.
    if parts.any(|part| part.is_none()) {
        return None;
    }
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_major_and_minor_count() {
        assert_eq!(minor_version("1.19.4"), Some((1, 19)));
        assert_eq!(minor_version("v1.20.0-rc.1+gabc"), Some((1, 20)));
        assert_eq!(minor_version("2"), Some((2, 0)));
        assert_eq!(minor_version("unknown"), None);
        assert_eq!(minor_version("1.x"), None);
    }

    #[test]
    fn what_a_server_says_is_passed_on() {
        let error = RpcError::from(Status::not_found("no such thing"));
        assert_eq!(
            error.to_string(),
            "rpc error: code = NotFound desc = no such thing"
        );
    }
}

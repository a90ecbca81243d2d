//! The gRPC edge: which calls there are, what they answer, and the server around them.

use std::sync::Arc;

use bytes::Bytes;
use flow_api::json::{self, Json};
use flow_api::observer::{
    GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest, GetNamespacesRequest,
    GetNamespacesResponse, GetNodesRequest, GetNodesResponse, ServerStatusRequest,
    ServerStatusResponse,
};
use flow_api::server::{CallCounts, Counted, Limits, Listener, Server};
use flow_api::service::observer_server::{Observer, ObserverServer};
use flow_api::{FILE_DESCRIPTOR_SET, HUBBLE_VERSION, clock, resume};
use futures::stream::{BoxStream, Stream, StreamExt as _};
use http::HeaderValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{KeyRef, MetadataMap};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::HealthServer;
use tower::ServiceBuilder;
use tower::util::MapResponseLayer;

use crate::RelayError;
use crate::access::{Gate, Grant, Guarded};
use crate::audit::{Audit, Audited, Record};
use crate::call::{Call, Method};
use crate::defaults::{MAX_FLOW_CALLS, MAX_UNARY_CALLS, UNARY_TIMEOUT};
use crate::flows::{self, Settings};
use crate::health::HealthService;
use crate::pool::Pool;
use crate::unary::{self, Asked};
use crate::unknown::{Examined, Overlooked};
use crate::via::{self, Waypoint};

/// With this header each answer says that a relay gave it, and which Hubble it speaks as.
const VERSION_HEADER: &str = "hubble-relay-version";

/// Headers of a call that belong to its connection or to its message, which is not always passed on as it
/// came, so they are not passed on. So are those that begin with [`RESERVED_PREFIX`].
const OWN_HEADERS: [&str; 5] = ["content-length", "content-type", "host", "te", "user-agent"];

/// gRPC's own headers, such as the deadline. A client that gives up ends its call, and with it ours.
const RESERVED_PREFIX: &str = "grpc-";

/// Encoded responses.
type EventStream = BoxStream<'static, Result<Bytes, Status>>;

/// The Observer service over all peers.
#[derive(Debug)]
pub(crate) struct RelayService {
    pool: Pool,
    settings: Settings,
    waypoint: Waypoint,
    flow_calls: Arc<Semaphore>,
    audit: Option<Arc<Audit>>,
    /// Questions that go to all peers, at the same time.
    unary_calls: Semaphore,
}

impl RelayService {
    /// A service over these peers.
    pub(crate) fn new(pool: Pool, settings: Settings, audit: Option<Arc<Audit>>) -> Self {
        Self {
            pool,
            settings,
            waypoint: Waypoint::new(),
            flow_calls: Arc::new(Semaphore::new(MAX_FLOW_CALLS)),
            audit,
            unary_calls: Semaphore::new(MAX_UNARY_CALLS),
        }
    }

    /// Writes down that a call has begun, where that is wanted.
    fn record<T: Json>(&self, call: &'static str, request: &Request<T>) -> Option<Record> {
        let audit = self.audit.as_ref()?;
        let message = json::to_string(request.get_ref());
        Some(audit.begin(call, request.extensions(), request.metadata(), message))
    }

    /// A stream of what all nodes have to tell, written down.
    fn stream(
        &self,
        method: Method,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<EventStream>, Status> {
        let record = self.record(method.name(), &request);
        match (self.merged(method, request), record) {
            (Ok(response), Some(record)) => {
                Ok(response.map(|inner| Audited { inner, record }.boxed()))
            }
            (Ok(response), None) => Ok(response),
            (Err(status), record) => {
                let refused = Err(status);
                if let Some(record) = record {
                    record.answered(&refused);
                }
                refused
            }
        }
    }

    /// What all nodes have to tell, in the order of time.
    fn merged(
        &self,
        method: Method,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<EventStream>, Status> {
        if let Some(overlooked) = request.extensions().get::<Overlooked>() {
            return Err(overlooked.refusal());
        }
        let Some(metadata) = self.forwarded(request.metadata()) else {
            let mut nothing = Response::new(futures::stream::empty().boxed());
            via::end(nothing.metadata_mut());
            return Ok(nothing);
        };
        let permit = Arc::clone(&self.flow_calls)
            .try_acquire_owned()
            .map_err(|_| {
                let message = format!("{MAX_FLOW_CALLS} streams are open, which is the limit");
                Status::resource_exhausted(message)
            })?;
        let grant = grant_of(&request);
        let mut request = request.into_inner();
        if let Some(grant) = &grant {
            match method {
                Method::Flows => grant.restrict(&mut request)?,
                Method::AgentEvents => grant.sees_all("agent events")?,
                Method::DebugEvents => grant.sees_all("debug events")?,
            }
        }
        let peers = self.pool.members().len();
        let call = Call::new(method, request, metadata, peers);
        let stream = flows::merged(call, &self.pool, self.settings.clone(), permit);
        Ok(Response::new(match grant {
            Some(grant) => granted(stream, grant).boxed(),
            None => stream.boxed(),
        }))
    }

    /// A call with one answer, when it is its turn; `None` for one that has come by here.
    async fn asked(
        &self,
        metadata: &MetadataMap,
    ) -> Result<Option<(Asked, SemaphorePermit<'_>)>, Status> {
        let Some(forwarded) = self.forwarded(metadata) else {
            return Ok(None);
        };
        match timeout(UNARY_TIMEOUT, self.unary_calls.acquire()).await {
            Ok(Ok(turn)) => Ok(Some((Asked::new(forwarded, metadata), turn))),
            _ => Err(Status::resource_exhausted(format!(
                "{MAX_UNARY_CALLS} questions to all nodes are open, which is the limit"
            ))),
        }
    }

    /// The client's metadata as the peers get it; `None` for a call that has come by here, and that they
    /// have had already.
    fn forwarded(&self, metadata: &MetadataMap) -> Option<MetadataMap> {
        let mut forwarded = metadata.clone();
        for key in metadata.keys() {
            let name = match key {
                KeyRef::Ascii(key) => key.as_str(),
                KeyRef::Binary(key) => key.as_str(),
            };
            if OWN_HEADERS.contains(&name) || name.starts_with(RESERVED_PREFIX) {
                forwarded.remove(name);
            }
        }
        // What a relay above has of this one.
        resume::remove(&mut forwarded);
        self.waypoint.join(&mut forwarded).then_some(forwarded)
    }
}

#[tonic::async_trait]
impl Observer for RelayService {
    type GetFlowsStream = EventStream;
    type GetAgentEventsStream = EventStream;
    type GetDebugEventsStream = EventStream;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        self.stream(Method::Flows, request)
    }

    async fn get_agent_events(
        &self,
        request: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        let request = request.map(|it| GetFlowsRequest {
            number: it.number,
            first: it.first,
            follow: it.follow,
            since: it.since,
            until: it.until,
            ..GetFlowsRequest::default()
        });
        self.stream(Method::AgentEvents, request)
    }

    async fn get_debug_events(
        &self,
        request: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        let request = request.map(|it| GetFlowsRequest {
            number: it.number,
            first: it.first,
            follow: it.follow,
            since: it.since,
            until: it.until,
            ..GetFlowsRequest::default()
        });
        self.stream(Method::DebugEvents, request)
    }

    async fn get_nodes(
        &self,
        request: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let record = self.record("GetNodes", &request);
        let Some((asked, _turn)) = self.asked(request.metadata()).await? else {
            return answered(record, GetNodesResponse::default());
        };
        let mut nodes = unary::nodes(&self.pool, &asked).await;
        if let Some(grant) = grant_of(&request) {
            grant.redact_nodes(&mut nodes);
        }
        answered(record, nodes)
    }

    async fn get_namespaces(
        &self,
        request: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let record = self.record("GetNamespaces", &request);
        let Some((asked, _turn)) = self.asked(request.metadata()).await? else {
            return answered(record, GetNamespacesResponse::default());
        };
        let mut namespaces = unary::namespaces(&self.pool, &asked).await;
        if let Some(grant) = grant_of(&request) {
            grant.redact_namespaces(&mut namespaces);
        }
        answered(record, namespaces)
    }

    async fn server_status(
        &self,
        request: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let record = self.record("ServerStatus", &request);
        let Some((asked, _turn)) = self.asked(request.metadata()).await? else {
            return answered(record, unary::status_of_nothing());
        };
        let status = unary::server_status(&self.pool, &asked).await;
        let mut response = answered(record, status)?;
        clock::answer(request.metadata(), response.metadata_mut());
        Ok(response)
    }
}

/// The answer to a call, which is written down.
fn answered<T>(record: Option<Record>, answer: T) -> Result<Response<T>, Status> {
    let answer = Ok(Response::new(answer));
    if let Some(record) = record {
        record.answered(&answer);
    }
    answer
}

/// What the client's token allows, where clients need one.
fn grant_of<T>(request: &Request<T>) -> Option<Arc<Grant>> {
    request.extensions().get::<Arc<Grant>>().map(Arc::clone)
}

/// A stream as its client may see it, and for as long as it may.
fn granted(
    stream: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    grant: Arc<Grant>,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    let revoked = grant.revoked.clone().cancelled_owned();
    let redacting = Arc::clone(&grant);
    let stream = stream.map(move |item| item.map(|bytes| redacting.redact(bytes)));
    let end = futures::stream::once(async move {
        let is_revoked = grant.revoked.is_cancelled();
        is_revoked.then(|| Err(Status::unauthenticated("the token was taken away")))
    });
    stream
        .take_until(revoked)
        .chain(end.filter_map(futures::future::ready))
}

/// Serves until `shutdown`, then ends what is open and closes.
pub(crate) async fn serve(
    listeners: Vec<Listener>,
    relay: RelayService,
    health: HealthService,
    server: Server,
    calls: Arc<CallCounts>,
    gate: Gate,
    shutdown: CancellationToken,
) -> Result<(), RelayError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Each version describes the other, too: both are served.
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
            // Not all services of the files: a relay does not offer Peer.
            .with_service_name("observer.Observer")
            .with_service_name("grpc.health.v1.Health")
            .with_service_name("grpc.reflection.v1.ServerReflection")
            .with_service_name("grpc.reflection.v1alpha.ServerReflection")
    };
    let version = MapResponseLayer::new(|mut response: http::Response<tonic::body::Body>| {
        let version = HeaderValue::from_static(HUBBLE_VERSION);
        response.headers_mut().insert(VERSION_HEADER, version);
        response
    });
    let routes = Routes::new(ObserverServer::new(relay))
        .add_service(HealthServer::new(health))
        .add_service(reflection().build_v1().map_err(RelayError::reflection)?)
        .add_service(
            reflection()
                .build_v1alpha()
                .map_err(RelayError::reflection)?,
        )
        .prepare();
    let guarded = Guarded {
        inner: Examined { inner: routes },
        gate,
    };
    let service = ServiceBuilder::new()
        .layer(version)
        .service(Counted::new(guarded, calls));
    server.serve(listeners, service, shutdown).await?;
    Ok(())
}

/// Serves health alone until `shutdown`.
pub(crate) async fn serve_health(
    listener: Listener,
    health: HealthService,
    shutdown: CancellationToken,
) {
    let routes = Routes::new(HealthServer::new(health)).prepare();
    let server = Server::new(Limits::default(), Arc::default());
    if let Err(error) = server.serve(vec![listener], routes, shutdown).await {
        tracing::warn!(%error, "health is served no longer");
    }
}

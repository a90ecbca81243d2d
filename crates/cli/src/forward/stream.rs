//! One connection to a port of a pod.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use flow_api::cause::root_cause;
use futures::{
    FutureExt as _,
    future::{BoxFuture, Fuse},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, client::UpgradeConnectionError};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::{
    access::Access,
    error::ForwardError,
    service::{Backend, Place},
};

/// Bytes to and from a pod. Where they end before their time, reading says why, if anybody told.
pub(crate) struct PodStream {
    bytes: DuplexStream,
    /// Ends with the stream, with what the node or the library has to say about that.
    ending: Fuse<BoxFuture<'static, Option<String>>>,
}

/// Opens a connection. The node tells only afterwards whether somebody listens in the pod.
pub(super) async fn open(
    access: &Access,
    place: &Place,
    backend: &Backend,
) -> Result<PodStream, ForwardError> {
    let pods: Api<Pod> = Api::namespaced(access.client.clone(), &place.namespace);
    let refused = |cause: String| ForwardError::Refused {
        place: place.clone(),
        backend: backend.clone(),
        cause,
    };
    let mut forwarder = match pods.portforward(&backend.pod, &[backend.port]).await {
        Ok(forwarder) => forwarder,
        Err(kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code))) => {
            let cause = format!("the API server answers {code} instead of a WebSocket");
            return Err(refused(cause));
        }
        Err(error) => {
            return Err(
                match ForwardError::of(&error, &access.server, &place.namespace) {
                    // A pod that is gone, or a node that is.
                    ForwardError::Failed { cause, .. } => refused(cause),
                    error => error,
                },
            );
        }
    };
    let bytes = forwarder
        .take_stream(backend.port)
        .ok_or_else(|| refused("the library has no stream".to_owned()))?;
    let told = forwarder.take_error(backend.port);
    let pod = format!("{}/{}", place.namespace, backend.pod);
    let ending = async move {
        let told = match told {
            Some(told) => told.await,
            None => None,
        };
        let why = match told {
            Some(told) => told.trim().to_owned(),
            None => root_cause(&forwarder.join().await.err()?),
        };
        Some(format!("the port-forward to {pod} ended: {why}"))
    };
    Ok(PodStream {
        bytes,
        ending: ending.boxed().fuse(),
    })
}

impl AsyncRead for PodStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.bytes).poll_read(cx, buffer);
        let has_bytes = matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() > before;
        // A node may tell that nobody listens, and leave the connection open.
        if !has_bytes && let Poll::Ready(Some(why)) = this.ending.poll_unpin(cx) {
            return Poll::Ready(Err(io::Error::other(why)));
        }
        read
    }
}

impl AsyncWrite for PodStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().bytes).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().bytes).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().bytes).poll_shutdown(cx)
    }
}

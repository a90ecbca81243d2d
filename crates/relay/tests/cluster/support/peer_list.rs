//! A peer service: announces the peers that a test puts on it.

use std::path::PathBuf;
use std::pin::Pin;

use flow_api::peer::peer_server::{Peer, PeerServer};
use flow_api::peer::{ChangeNotification, ChangeNotificationType, NotifyRequest, Tls};
use futures::stream::StreamExt as _;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::FakePeer;

/// Name, address, and the name in the certificate.
type Entry = (String, String, String);

/// See the [module](self).
pub(crate) struct PeerList {
    path: PathBuf,
    _dir: TempDir,
    listed: watch::Sender<Vec<Entry>>,
    runtime: Option<Runtime>,
}

struct Notifier(watch::Sender<Vec<Entry>>);

impl PeerList {
    pub(crate) fn of(peers: &[&FakePeer]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.sock");
        let mut list = Self {
            path,
            _dir: dir,
            listed: watch::Sender::new(Vec::new()),
            runtime: None,
        };
        list.set(peers);
        list.start();
        list
    }

    pub(crate) fn set(&self, peers: &[&FakePeer]) {
        let entries = peers
            .iter()
            .map(|peer| (peer.name.clone(), peer.address(), String::new()))
            .collect();
        self.announce(entries);
    }

    pub(crate) fn announce(&self, entries: Vec<Entry>) {
        self.listed.send_replace(entries);
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    pub(crate) fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        if self.path.exists() {
            std::fs::remove_file(&self.path).unwrap();
        }
        let listener = {
            let _in_runtime = runtime.enter();
            UnixListener::bind(&self.path).unwrap()
        };
        let service = PeerServer::new(Notifier(self.listed.clone()));
        let router = Server::builder().add_service(service);
        runtime.spawn(router.serve_with_incoming(UnixListenerStream::new(listener)));
        self.runtime = Some(runtime);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for PeerList {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tonic::async_trait]
impl Peer for Notifier {
    type NotifyStream =
        Pin<Box<dyn futures::Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _request: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let mut listed = self.0.subscribe();
        listed.mark_changed();
        let state = (listed, Vec::<Entry>::new());
        let stream = futures::stream::unfold(state, |(mut listed, old)| async move {
            listed.changed().await.ok()?;
            let new = listed.borrow_and_update().clone();
            let added = new
                .iter()
                .filter(|entry| !old.contains(entry))
                .map(|entry| change(ChangeNotificationType::PeerAdded, entry));
            let deleted = old
                .iter()
                .filter(|(name, ..)| !new.iter().any(|(other, ..)| other == name))
                .map(|entry| change(ChangeNotificationType::PeerDeleted, entry));
            let changes: Vec<_> = added.chain(deleted).map(Ok).collect();
            Some((futures::stream::iter(changes), (listed, new)))
        });
        Ok(Response::new(Box::pin(stream.flatten())))
    }
}

fn change(
    kind: ChangeNotificationType,
    (name, address, server_name): &Entry,
) -> ChangeNotification {
    let tls = (!server_name.is_empty()).then(|| Tls {
        server_name: server_name.clone(),
    });
    ChangeNotification {
        name: name.clone(),
        address: address.clone(),
        r#type: kind.into(),
        tls,
    }
}

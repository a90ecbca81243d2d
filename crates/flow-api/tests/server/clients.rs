//! Good clients.

use flow_api::{
    connect::{ConnectOptions, Target, connect},
    observer::{ServerStatusRequest, observer_client::ObserverClient},
    peer::{ChangeNotification, NotifyRequest, peer_client::PeerClient},
};
use tonic::{Status, Streaming, transport::Channel};

use crate::running::Running;

/// Asks one thing; what went wrong, if it did, and wherever it did.
pub(crate) async fn ask(target: &Target, options: &ConnectOptions) -> Result<(), String> {
    let channel = connect(target, options)
        .await
        .map_err(|error| error.to_string())?;
    answered(channel).await.map_err(|status| status.to_string())
}

pub(crate) async fn answered(channel: Channel) -> Result<(), Status> {
    let mut client = ObserverClient::new(channel);
    client.server_status(ServerStatusRequest {}).await.map(drop)
}

/// A stream that says something at each tick.
pub(crate) struct Follower {
    messages: Streaming<ChangeNotification>,
}

impl Follower {
    pub(crate) async fn open(target: &Target, options: &ConnectOptions) -> Self {
        let channel = connect(target, options).await.unwrap();
        let messages = PeerClient::new(channel).notify(NotifyRequest {}).await;
        Self {
            messages: messages.unwrap().into_inner(),
        }
    }

    /// Whether the stream still works.
    pub(crate) async fn hears(&mut self, running: &Running) -> bool {
        running.tick();
        matches!(self.messages.message().await, Ok(Some(_)))
    }

    /// How the stream ends; what comes before is passed over.
    pub(crate) async fn end(mut self) -> Result<(), Status> {
        while self.messages.message().await?.is_some() {}
        Ok(())
    }
}

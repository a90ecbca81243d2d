//! The connections to one address: as many as its streams need.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use flow_api::connect::Target;
use tonic::transport::{Channel, Error as TransportError};

use crate::defaults::STREAMS_PER_CONNECTION;
use crate::dial::Dialer;

/// The connections to one address. Each carries at most [`STREAMS_PER_CONNECTION`] streams, so that
/// a stream that is not read cannot use up the others' window; calls with one answer go over the
/// first one.
pub(crate) struct Connections {
    target: Target,
    dialer: Dialer,
    channels: Mutex<Vec<Shared>>,
}

struct Shared {
    channel: Channel,
    /// One reference here, one in each [`Lease`].
    users: Arc<()>,
}

/// A connection with room for one more stream, kept for it as long as this lives.
pub(crate) struct Lease {
    /// Where to call.
    pub(crate) channel: Channel,
    _user: Arc<()>,
}

impl Connections {
    /// To this address, none yet.
    pub(crate) fn new(target: Target, dialer: Dialer) -> Self {
        Self {
            target,
            dialer,
            channels: Mutex::new(Vec::new()),
        }
    }

    /// The connection for calls with one answer.
    pub(crate) fn channel(&self) -> Result<Channel, TransportError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = channels.first() {
            return Ok(first.channel.clone());
        }
        let new = self.connect()?;
        let channel = new.channel.clone();
        channels.push(new);
        Ok(channel)
    }

    /// A connection for a stream.
    pub(crate) fn lease(&self) -> Result<Lease, TransportError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_first = true;
        // Connections that were made for a rush are closed again; the first one stays.
        channels
            .retain(|shared| std::mem::take(&mut is_first) || Arc::strong_count(&shared.users) > 1);
        let has_room =
            |shared: &&Shared| Arc::strong_count(&shared.users) <= STREAMS_PER_CONNECTION;
        if let Some(shared) = channels.iter().find(has_room) {
            return Ok(shared.lease());
        }
        let new = self.connect()?;
        let lease = new.lease();
        channels.push(new);
        Ok(lease)
    }

    fn connect(&self) -> Result<Shared, TransportError> {
        Ok(Shared {
            channel: self.dialer.channel()?,
            users: Arc::new(()),
        })
    }
}

impl Shared {
    fn lease(&self) -> Lease {
        Lease {
            channel: self.channel.clone(),
            _user: Arc::clone(&self.users),
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

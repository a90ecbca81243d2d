//! Between a relay and a node: passes on what the node says, until it says something of its own.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use crate::watch::RUNTIME;

/// See the [module](self). It ends with the test's process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    words: broadcast::Sender<&'static [u8]>,
}

impl Proxy {
    /// In front of this address.
    pub(crate) fn before(node: SocketAddr) -> Result<Self> {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (words, _) = broadcast::channel(1);
        let sender = words.clone();
        RUNTIME.spawn(async move {
            while let Ok((relay, _)) = listener.accept().await {
                let heard = sender.subscribe();
                tokio::spawn(async move {
                    // However a connection ends, it is the relay's to make a new one.
                    drop(pass_on(relay, node, heard).await);
                });
            }
        });
        Ok(Self { address, words })
    }

    /// Says this on each connection, where the node was to speak next, and ends it.
    pub(crate) fn say(&self, words: &'static [u8]) {
        // An error means that nobody is connected, and a test waits for what comes of it.
        self.words.send(words).ok();
    }
}

async fn pass_on(
    mut relay: TcpStream,
    node: SocketAddr,
    mut words: broadcast::Receiver<&'static [u8]>,
) -> std::io::Result<()> {
    let mut node = TcpStream::connect(node).await?;
    let (mut from_relay, mut to_relay) = relay.split();
    let (mut from_node, mut to_node) = node.split();
    let said = tokio::select! {
        _ = copy(&mut from_relay, &mut to_node) => return Ok(()),
        _ = copy(&mut from_node, &mut to_relay) => return Ok(()),
        said = words.recv() => said,
    };
    if let Ok(said) = said {
        to_relay.write_all(said).await?;
        // Until the relay has had enough of it, so that it is not the end that it sees first.
        let mut rest = Vec::new();
        from_relay.read_to_end(&mut rest).await?;
    }
    Ok(())
}

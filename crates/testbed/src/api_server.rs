//! An API server of Kubernetes for tests: it keeps objects, lists them in pages and tells watches what
//! changes, over real connections on loopback, and fails in the ways real ones do.
//!
//! What it answers is what a real one does, as far as somebody who only lists and watches can tell:
//! resource versions that grow with each change, continue tokens, bookmarks, 410 for what is too old,
//! watches from the future that hear nothing. [`objects`] makes objects of the size real ones have.
//!
//! Ports of pods are forwarded, over WebSockets, to wherever a test says.

mod connection;
mod forward;
pub mod objects;
mod query;
mod store;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use store::Store;

/// How often the thread that accepts looks whether it is to end.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(5);

/// An API server; its connections end with it.
#[derive(Debug)]
pub struct ApiServer {
    store: Arc<Store>,
    address: SocketAddr,
    listening: Option<Listening>,
}

#[derive(Debug)]
struct Listening {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ApiServer {
    /// Serves on a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        let address = listener.local_addr()?;
        let mut server = Self {
            store: Arc::default(),
            address,
            listening: None,
        };
        server.serve(listener)?;
        Ok(server)
    }

    /// Where it serves.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig that names it.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters:\n- name: test\n  cluster: {{server: \"{}\"}}\n\
             users:\n- name: test\n  user: {{token: test}}\n\
             contexts:\n- name: test\n  context: {{cluster: test, user: test}}\n",
            self.url()
        )
    }

    /// Puts an object there, whether it was there before or not. Its own fields say what it is.
    pub fn put(&self, object: Value) {
        self.store.put(object);
    }

    /// Takes an object away.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.store.delete(resource, namespace, name);
    }

    /// The cluster has Cilium's resources, or has them no longer.
    pub fn set_cilium(&self, is_there: bool) {
        self.store.settings(|it| it.has_cilium = is_there);
    }

    /// Says 403 to whoever asks for this resource, or does so no longer.
    pub fn forbid(&self, resource: &str, is_forbidden: bool) {
        self.store.settings(|it| {
            if is_forbidden {
                it.forbidden.insert(resource.to_owned());
            } else {
                it.forbidden.remove(resource);
            }
        });
        self.store.end_watches();
    }

    /// How long each answer takes to begin.
    pub fn set_delay(&self, delay: Duration) {
        self.store.settings(|it| it.delay = delay);
    }

    /// How often watches hear a bookmark.
    pub fn set_bookmark_interval(&self, interval: Duration) {
        self.store.settings(|it| it.bookmark_interval = interval);
    }

    /// Ends all watches, in the middle of a line.
    pub fn break_watches(&self) {
        self.store.break_watches();
    }

    /// Tells all watches a line that is no JSON instead of the next event.
    pub fn garble_next_event(&self) {
        self.store.settings(|it| it.garbled += 1);
    }

    /// Forgets all changes so far: who has not heard of the last one is told 410.
    pub fn compact(&self) {
        self.store.compact();
    }

    /// Ends watches with 410, as when a server can no longer keep up.
    pub fn expire_watches(&self) {
        self.store.expire_watches();
    }

    /// Goes on with another history, as after a backup was restored: the same objects, but versions
    /// from `first` on.
    pub fn restore(&self, first: u64) {
        self.store.restore(first);
    }

    /// Ends: connections break, and further ones are refused.
    pub fn stop(&mut self) {
        if let Some(Listening { stop, thread }) = self.listening.take() {
            stop.store(true, Ordering::Relaxed);
            // A thread that panicked has ended, too.
            drop(thread.join());
        }
        self.store.hang_up();
    }

    /// Comes back, on the same port.
    ///
    /// # Errors
    /// When another has taken it.
    pub fn resume(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address)
            .with_context(|| format!("cannot listen on {} again", self.address))?;
        self.serve(listener)
    }

    /// What listens at a port of a pod; without it, nobody does. The pod is an object of its own.
    pub fn listen_in_pod(&self, namespace: &str, pod: &str, port: u16, target: SocketAddr) {
        self.store.set_target(namespace, pod, port, target);
    }

    /// Breaks all forwarded connections, without a word.
    pub fn cut_forwards(&self) {
        self.store.cut_forwards();
    }

    /// How many connections were forwarded so far, and how many of them stand.
    #[must_use]
    pub fn forwards(&self) -> (u64, usize) {
        self.store.forwards()
    }

    /// Paths and queries of the latest requests.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.store.requests()
    }

    /// How many pages of lists were asked for; those of one object only ask for the version.
    #[must_use]
    pub fn list_requests(&self) -> u64 {
        self.store.list_requests()
    }

    /// How many bookmarks were told.
    #[must_use]
    pub fn bookmarks(&self) -> u64 {
        self.store.bookmarks()
    }

    /// How many watches stand.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.store.watches()
    }

    fn serve(&mut self, listener: TcpListener) -> Result<()> {
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (ending, store) = (Arc::clone(&stop), Arc::clone(&self.store));
        let thread = thread::Builder::new()
            .name("api-server".to_owned())
            .spawn(move || {
                while !ending.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((connection, _)) => answer(connection, &store),
                        Err(_) => thread::sleep(ACCEPT_INTERVAL),
                    }
                }
            })?;
        self.listening = Some(Listening { stop, thread });
        Ok(())
    }
}

fn answer(connection: TcpStream, store: &Arc<Store>) {
    let store = Arc::clone(store);
    let life = store.life();
    let serving = move || -> io::Result<()> {
        connection.set_nonblocking(false)?;
        connection.set_nodelay(true)?;
        connection::serve(connection, &store, life)
    };
    let spawned = thread::Builder::new().spawn(move || {
        // Clients hang up as they like.
        drop(serving());
    });
    // Nobody is told; the client sees its connection close.
    drop(spawned);
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

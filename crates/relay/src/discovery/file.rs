//! A file of peers that is read again when it changes. The last one that made sense holds.
//!
//! One peer on each line, as `NAME=ADDRESS`, with empty lines and comments that begin with `#`; or,
//! where the file's name ends in `.yaml` or `.yml`:
//!
//! ```yaml
//! peers:
//!   - name: node-1
//!     address: 192.0.2.1:4244
//!   - name: east
//!     address: tls://relay.east.example:4245
//!     tls_server_name: ui.hubble-relay.cilium.io
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use flow_api::connect::TargetError;
use flow_api::server::{Stamp, Watched};
use serde::Deserialize;
use tokio::time::sleep;

use super::Place;
use crate::defaults::{FILE_LOOK_EVERY, MAX_PEERS};
use crate::peers::{Peers, Rules, StaticPeer, StaticPeerError, agent_target};

/// A longer file is none of peers.
const LONGEST_FILE: u64 = 8 * 1024 * 1024;

/// Why a file of peers cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerFileError {
    /// It is not there, or may not be read.
    #[error("cannot read peers from {}: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// A line that names no peer.
    #[error("{}:{line}: {reason}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Which line; the first is 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// A file that is followed.
#[derive(Debug)]
pub(crate) struct PeerFile {
    path: PathBuf,
    rules: Rules,
    first: Peers,
    watched: Watched<Option<Stamp>>,
}

impl PeerFile {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or is broken: at the start there is no better one.
    pub(crate) fn open(path: &Path, rules: &Rules) -> Result<Self, PeerFileError> {
        let watched = Watched::new(Stamp::of(path));
        Ok(Self {
            path: path.to_owned(),
            rules: rules.clone(),
            first: read_file(path, rules)?,
            watched,
        })
    }

    /// Follows it for as long as anybody wants to know.
    pub(super) async fn run(mut self, place: Place) {
        place.put(std::mem::take(&mut self.first));
        loop {
            tokio::select! {
                () = sleep(FILE_LOOK_EVERY) => {}
                () = place.closed() => return,
            }
            if !self.watched.has_changed(Stamp::of(&self.path)) {
                continue;
            }
            let (path, rules) = (self.path.clone(), self.rules.clone());
            let read = tokio::task::spawn_blocking(move || read_file(&path, &rules)).await;
            match read {
                Ok(Ok(peers)) => {
                    tracing::info!(file = %self.path.display(), peers = peers.len(), "peers read");
                    place.put(peers);
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the peers of before hold");
                    place.lost();
                }
                Err(error) => tracing::error!(%error, "cannot read peers"),
            }
        }
    }
}

fn read_file(path: &Path, rules: &Rules) -> Result<Peers, PeerFileError> {
    let unreadable = |reason| PeerFileError::Unreadable {
        file: path.to_owned(),
        reason,
    };
    if fs::metadata(path).map_err(unreadable)?.len() > LONGEST_FILE {
        return Err(unreadable(io::Error::other("it is longer than 8 MiB")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let is_yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    let parsed = if is_yaml { yaml(&text) } else { lines(&text) };
    let listed = parsed.map_err(|(line, reason)| PeerFileError::Line {
        file: path.to_owned(),
        line,
        reason,
    })?;
    let peers = listed.into_values().map(|(_, peer)| peer);
    Ok(peers
        .map(|peer| (peer.name.as_str().into(), rules.listed(peer)))
        .collect())
}

/// By name, with the line of each.
type Listed = BTreeMap<String, (usize, StaticPeer)>;

/// A line and what is wrong with it.
type Mistake = (usize, String);

fn lines(text: &str) -> Result<Listed, Mistake> {
    let mut listed = Listed::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let peer = line
            .parse()
            .map_err(|error: StaticPeerError| (number, error.to_string()))?;
        add(&mut listed, number, peer)?;
    }
    Ok(listed)
}

fn add(listed: &mut Listed, line: usize, peer: StaticPeer) -> Result<(), Mistake> {
    if let Some((first, _)) = listed.get(&peer.name) {
        let reason = format!("peer {:?} is in line {first} already", peer.name);
        return Err((line, reason));
    }
    if listed.len() >= MAX_PEERS {
        return Err((line, format!("more than {MAX_PEERS} peers")));
    }
    listed.insert(peer.name.clone(), (line, peer));
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    peers: Vec<serde_saphyr::Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    address: String,
    #[serde(default)]
    tls_server_name: Option<String>,
}

fn yaml(text: &str) -> Result<Listed, Mistake> {
    if text.trim().is_empty() {
        return Ok(Listed::new());
    }
    let document: Document = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |it| it.line());
        (usize::try_from(line).unwrap_or(1), error.to_string())
    })?;
    let mut listed = Listed::new();
    for entry in document.peers {
        let line = usize::try_from(entry.referenced.line()).unwrap_or(1);
        let Entry {
            name,
            address,
            tls_server_name,
        } = entry.value;
        if name.is_empty() {
            return Err((line, "a peer needs a name".to_owned()));
        }
        let address =
            agent_target(&address).map_err(|error: TargetError| (line, error.to_string()))?;
        let peer = StaticPeer {
            name,
            address,
            tls_server_name,
        };
        add(&mut listed, line, peer)?;
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let rules = Rules {
            has_tls: false,
            cluster: "default".to_owned(),
        };
        let peers = read_file(&path, &rules).map_err(|error| {
            let error = error.to_string();
            let folder = dir.path().display().to_string();
            error.replace(&folder, "")
        })?;
        Ok(peers
            .iter()
            .map(|(name, peer)| format!("{name} {} {}", peer.address, peer.tls_server_name))
            .collect())
    }

    #[test]
    fn both_forms_tell_the_same() {
        let text = "# ours\n\na=192.0.2.1 # the first\n  b=tls://b.example:1,server-name=x\n";
        let yaml = "peers:\n  - name: a\n    address: 192.0.2.1\n  - name: b\n    address: \
                    tls://b.example:1\n    tls_server_name: x\n";
        let expected = ["a 192.0.2.1:4244 ", "b tls://b.example:1 x"];
        assert_eq!(read("peers", text).unwrap(), expected);
        assert_eq!(read("peers.yaml", yaml).unwrap(), expected);
        assert!(read("peers", "").unwrap().is_empty());
        assert!(read("peers.yml", "\n").unwrap().is_empty());
    }

    #[test]
    fn a_mistake_is_told_with_file_and_line() {
        let cases = [
            ("peers", "a=192.0.2.1\nb\n", "/peers:2: invalid peer \"b\""),
            (
                "peers",
                "a=192.0.2.1\n\na=192.0.2.2\n",
                "/peers:3: peer \"a\" is in line 1 already",
            ),
            (
                "peers.yaml",
                "peers:\n  - name: a\n    address: b:http\n",
                "/peers.yaml:2: invalid server",
            ),
            (
                "peers.yaml",
                "peers:\n  - name: a\n    adress: b\n",
                "/peers.yaml:3: ",
            ),
        ];
        for (name, text, expected) in cases {
            let error = read(name, text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}

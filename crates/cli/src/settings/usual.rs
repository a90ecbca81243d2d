//! Whom to ask where nobody says: an agent on this machine, ours or Hubble's, else a relay behind a
//! forwarded port.

use std::path::Path;

/// Where agents on this machine listen: ours, then the one inside Cilium.
pub(crate) const SOCKETS: [&str; 2] = ["/run/palomar/observer.sock", "/var/run/cilium/hubble.sock"];

/// Where a relay listens, behind a port that was forwarded, too.
const RELAY: &str = "localhost:4245";

/// The sockets that are there, and the relay behind them. Who wants TLS means no socket.
pub(super) fn servers(wants_tls: bool) -> Vec<String> {
    of(&SOCKETS, wants_tls)
}

fn of(sockets: &[&str], wants_tls: bool) -> Vec<String> {
    sockets
        .iter()
        .filter(|socket| !wants_tls && Path::new(socket).exists())
        .map(|socket| format!("unix://{socket}"))
        .chain([RELAY.to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_are_there_come_before_the_relay_unless_tls_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (ours, theirs) = (path("observer.sock"), path("hubble.sock"));
        let sockets = [ours.as_str(), theirs.as_str()];
        assert_eq!(of(&sockets, false), [RELAY]);
        std::fs::write(&theirs, "").unwrap();
        assert_eq!(of(&sockets, false), [&format!("unix://{theirs}"), RELAY]);
        std::fs::write(&ours, "").unwrap();
        assert_eq!(of(&sockets, false)[0], format!("unix://{ours}"));
        assert_eq!(of(&sockets, true), [RELAY]);
    }
}

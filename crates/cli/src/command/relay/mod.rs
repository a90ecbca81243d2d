//! `palomar relay`: merges the streams of many nodes.

mod peers;
mod serving;

use std::time::Duration;

use anyhow::Context as _;
use relay::{Config, Pace};
use tokio_util::sync::CancellationToken;

use super::{agent::host_name, duration};

/// Serve the flows of many nodes as one stream.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  Serve the nodes that the agent on this host knows:
    palomar relay

  Serve two nodes that are named here, on a Unix socket:
    palomar relay --listen unix:///run/palomar/relay.sock \\
      --peer node-1=unix:///run/palomar/node-1.sock --peer node-2=192.0.2.7:4244

  Serve the nodes of a Kubernetes service, both ways with certificates:
    palomar relay --peer-endpoints kube-system/hubble-peer \\
      --peer-tls-dir /etc/relay/client --tls-dir /etc/relay/server

  Look at what it serves:
    palomar observe -f --server localhost:4245")]
pub(crate) struct Args {
    /// How long following clients wait for nodes that are quiet, as in 1s or 500ms: flows of
    /// different nodes that come closer together than this are in order
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    max_hold: Duration,

    /// Name of this relay in what it says about nodes [default: the host name]
    #[arg(long, value_name = "NAME", env = "K8S_NODE_NAME")]
    node_name: Option<String>,

    #[command(flatten)]
    peers: peers::Args,

    #[command(flatten)]
    serving: serving::Args,
}

/// Runs until `shutdown`.
pub(crate) async fn run(args: Args, pace: Pace, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = Config {
        pace,
        ..config(args)?
    };
    Ok(relay::run(config, shutdown).await?)
}

fn config(args: Args) -> anyhow::Result<Config> {
    let node_name = match args.node_name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => {
            host_name().context("cannot tell the host name: name the relay with --node-name")?
        }
    };
    let mut config = Config {
        max_hold: args.max_hold,
        node_name,
        ..Config::default()
    };
    args.peers.apply(&mut config);
    args.serving.apply(&mut config)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};
    use flow_api::server::{TlsClientFiles, TlsFiles, TlsVersion};
    use flow_observer::agent::DEFAULT_SOCKET;
    use relay::Listen;

    use super::*;

    fn parsed(line: &[&str]) -> Result<Args, String> {
        let command = Args::augment_args(clap::Command::new("relay").no_binary_name(true));
        let matches = command
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        Ok(Args::from_arg_matches(&matches).unwrap())
    }

    fn config_of(line: &[&str]) -> Config {
        config(parsed(line).unwrap()).unwrap()
    }

    #[test]
    fn the_agent_on_this_host_is_asked_unless_peers_are_named() {
        let default = config_of(&[]).peer_service.unwrap();
        assert_eq!(default.to_string(), format!("unix://{DEFAULT_SOCKET}"));
        for line in [
            ["--peer", "a=192.0.2.1"],
            ["--peers-file", "/etc/palomar/peers"],
            ["--peer-endpoints", "kube-system/hubble-peer"],
            ["--peer-dns", "agents.example"],
        ] {
            assert_eq!(config_of(&line).peer_service, None, "{line:?}");
        }
        let both = config_of(&["--peer", "a=192.0.2.1", "--peer-service", "192.0.2.9:4244"]);
        assert_eq!(both.peer_service.unwrap().to_string(), "192.0.2.9:4244");
        assert_eq!(both.peers[0].address.to_string(), "192.0.2.1:4244");
    }

    #[test]
    fn listen_and_hold_are_read() {
        let line = ["--listen", "unix:///run/x.sock", "--max-hold", "1m0.5s"];
        let config = config_of(&line);
        assert_eq!(config.listen, ["unix:///run/x.sock".parse().unwrap()]);
        assert_eq!(config.max_hold, Duration::from_millis(60_500));
        assert_eq!(config_of(&[]).listen, [Listen::default()]);
        let both = config_of(&["--listen=:1", "--listen=unix:///run/x.sock"]);
        assert_eq!(both.listen.len(), 2);
    }

    #[test]
    fn a_refused_flag_says_what_was_expected() {
        let cases: [(&[&str], &str); 4] = [
            (&["--peer", "node-1"], "expected NAME=ADDRESS"),
            (
                &["--listen", "4245"],
                "expected :PORT, ADDRESS:PORT or unix",
            ),
            (
                &["--max-hold", "1"],
                "expected a duration such as 1s or 500ms",
            ),
            (&["--max-hold=-1s"], "not negative"),
        ];
        for (line, expected) in cases {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn certificates_are_named_by_folder_or_one_by_one_also_by_hubbles_flags() {
        assert!(config_of(&[]).tls.is_none());
        let tls = config_of(&["--tls-dir=/etc/certs"]).tls.unwrap();
        assert_eq!(tls.files, TlsFiles::Folder("/etc/certs".into()));
        assert_eq!(tls.oldest, TlsVersion::Tls13);
        let files = TlsFiles::Each {
            cert: "a".into(),
            key: "b".into(),
            client_cas: vec!["c".into(), "d".into()],
        };
        let ours = [
            "--tls-cert-file=a",
            "--tls-key-file=b",
            "--tls-client-ca-files=c,d",
        ];
        let hubbles = [
            "--tls-relay-server-cert-file=a",
            "--tls-relay-server-key-file=b",
            "--tls-relay-client-ca-files=c,d",
        ];
        for line in [ours, hubbles] {
            assert_eq!(config_of(&line).tls.unwrap().files, files);
        }
        assert!(parsed(&["--tls-cert-file=a"]).is_err());
    }

    #[test]
    fn certificates_for_nodes_are_named_by_folder_or_one_by_one() {
        assert_eq!(config_of(&[]).peer_tls, None);
        let folder = config_of(&["--peer-tls-dir=/etc/certs"]).peer_tls;
        assert_eq!(folder, Some(TlsClientFiles::Folder("/etc/certs".into())));
        let hubbles = [
            "--tls-hubble-client-cert-file=a",
            "--tls-hubble-client-key-file=b",
            "--tls-hubble-server-ca-files=c,d",
        ];
        let files = TlsClientFiles::Each {
            identity: Some(("a".into(), "b".into())),
            server_cas: vec!["c".into(), "d".into()],
        };
        assert_eq!(config_of(&hubbles).peer_tls, Some(files));
        assert!(parsed(&["--peer-tls-cert-file=a", "--peer-tls-key-file=b"]).is_err());
    }
}

//! `palomar relay`: merges the streams of many nodes.

use std::time::Duration;

use anyhow::Context as _;
use flow_api::connect::Target;
use flow_observer::agent::DEFAULT_SOCKET;
use relay::{Config, Listen, StaticPeer};
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

  Look at what it serves:
    palomar observe -f --server localhost:4245")]
pub(crate) struct Args {
    /// Where to serve: `:PORT` on all addresses, `ADDRESS:PORT`, or `unix://PATH`
    #[arg(long, value_name = "ADDR", default_value = ":4245")]
    listen: Listen,

    /// Agent that announces the nodes [default: the one on this host, unless --peer is given]
    #[arg(long, value_name = "TARGET")]
    peer_service: Option<Target>,

    /// A node to serve, whatever the peer service says; may be given more than once
    #[arg(long = "peer", value_name = "NAME=ADDR")]
    peers: Vec<StaticPeer>,

    /// How long following clients wait for nodes that are quiet, as in 1s or 500ms: flows of
    /// different nodes that come closer together than this are in order
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    max_hold: Duration,

    /// Name of this relay in what it says about nodes [default: the host name]
    #[arg(long, value_name = "NAME", env = "K8S_NODE_NAME")]
    node_name: Option<String>,
}

/// Runs until `shutdown`.
pub(crate) async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    Ok(relay::run(config(args)?, shutdown).await?)
}

fn config(args: Args) -> anyhow::Result<Config> {
    let node_name = match args.node_name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => {
            host_name().context("cannot tell the host name: name the relay with --node-name")?
        }
    };
    let peer_service = match args.peer_service {
        None if args.peers.is_empty() => Some(Target::Unix(DEFAULT_SOCKET.into())),
        given => given,
    };
    Ok(Config {
        listen: args.listen,
        peer_service,
        peers: args.peers,
        max_hold: args.max_hold,
        node_name,
        ..Config::default()
    })
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

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
        assert_eq!(config_of(&["--peer", "a=192.0.2.1"]).peer_service, None);
        let both = config_of(&["--peer", "a=192.0.2.1", "--peer-service", "192.0.2.9:4244"]);
        assert_eq!(both.peer_service.unwrap().to_string(), "192.0.2.9:4244");
        assert_eq!(both.peers[0].address.to_string(), "192.0.2.1:4244");
    }

    #[test]
    fn listen_and_hold_are_read() {
        let config = config_of(&["--listen", "unix:///run/x.sock", "--max-hold", "1m0.5s"]);
        assert_eq!(config.listen.to_string(), "unix:///run/x.sock");
        assert_eq!(config.max_hold, Duration::from_millis(60_500));
        assert_eq!(config_of(&[]).listen, Listen::default());
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
}

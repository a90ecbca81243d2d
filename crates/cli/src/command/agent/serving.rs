//! Where an agent serves, and to whom: what was typed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::bail;
use flow_api::server::SocketAccess;
use flow_observer::agent::{DEFAULT_SOCKET, Listen};

use crate::command::serving::Access;

/// Hubble's port of a node.
const DEFAULT_PORT: u16 = 4244;

#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Serving",
    mut_arg("tls_dir", |it| it.requires("listen")),
    mut_arg("tls_cert_file", |it| it.requires("listen"))
)]
#[group(skip)]
pub(super) struct Args {
    /// Unix socket to serve on
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(super) socket: PathBuf,

    /// Serve by TCP as well: `:PORT` on all addresses, `ADDRESS:PORT`, or `ADDRESS` for port 4244.
    /// Needs certificates
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,

    /// Serve TCP without TLS: everybody who can connect sees all flows
    #[arg(long, requires = "listen", conflicts_with_all = ["tls_dir", "tls_cert_file"])]
    insecure: bool,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// Who may connect to the socket.
    pub(super) fn access(&self) -> SocketAccess {
        self.access.socket()
    }

    /// Where to serve by TCP.
    pub(super) fn listen(self) -> anyhow::Result<Option<Listen>> {
        let Some(address) = self.listen else {
            return Ok(None);
        };
        let tls = self.access.tls();
        if tls.is_none() && !self.insecure {
            bail!(
                "--listen needs certificates: name their folder with --tls-dir, or each of them with \
                 --tls-cert-file, --tls-key-file and --tls-client-ca-files; --insecure serves flows \
                 in plain text to everybody who can connect"
            );
        }
        Ok(Some(Listen { address, tls }))
    }
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Ok((ip, DEFAULT_PORT).into());
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "4244"));
    let ip: Option<IpAddr> = match host {
        "" if !text.is_empty() => Some(Ipv6Addr::UNSPECIFIED.into()),
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ => None,
    };
    match (ip, port.parse()) {
        (Some(ip), Ok(port)) => Ok(SocketAddr::new(ip, port)),
        _ => bail!("expected :PORT, ADDRESS:PORT or ADDRESS, as in :4244 or 192.0.2.1:4244"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{Args as _, FromArgMatches as _};
    use flow_api::server::{TlsFiles, TlsVersion};

    use super::*;

    fn parsed(line: &[&str]) -> Result<Args, String> {
        let command = Args::augment_args(clap::Command::new("agent").no_binary_name(true));
        let matches = command
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        Ok(Args::from_arg_matches(&matches).unwrap())
    }

    fn listen_of(line: &[&str]) -> Option<Listen> {
        parsed(line).unwrap().listen().unwrap()
    }

    #[test]
    fn without_flags_there_is_a_socket_and_no_port() {
        let args = parsed(&[]).unwrap();
        assert_eq!(args.socket, PathBuf::from(DEFAULT_SOCKET));
        assert_eq!(args.access(), SocketAccess::default());
        assert!(args.listen().unwrap().is_none());
    }

    #[test]
    fn addresses_are_read_in_each_form() {
        for (text, expected) in [
            (":4244", "[::]:4244"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("127.0.0.1", "127.0.0.1:4244"),
            ("[::1]:5", "[::1]:5"),
            ("[::1]", "[::1]:4244"),
            ("::1", "[::1]:4244"),
            ("localhost", "127.0.0.1:4244"),
            ("localhost:0", "127.0.0.1:0"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", ":", ":http", "relay:4244", "4244", "127.0.0.1:65536"] {
            let error = address(text).unwrap_err().to_string();
            assert!(error.contains("expected :PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn certificates_are_named_by_folder_or_one_by_one() {
        let tls = listen_of(&["--listen=:4244", "--tls-dir=/etc/certs"]).unwrap();
        let tls = tls.tls.unwrap();
        assert_eq!(tls.files, TlsFiles::Folder("/etc/certs".into()));
        assert_eq!(tls.oldest, TlsVersion::Tls13);

        let line = [
            "--listen=:4244",
            "--tls-cert-file=a",
            "--tls-key-file=b",
            "--tls-client-ca-files=c,d",
            "--tls-min-version=1.2",
            "--tls-wait=10s",
        ];
        let tls = listen_of(&line).unwrap().tls.unwrap();
        let files = TlsFiles::Each {
            cert: "a".into(),
            key: "b".into(),
            client_cas: vec!["c".into(), "d".into()],
        };
        assert_eq!(tls.files, files);
        assert_eq!(tls.oldest, TlsVersion::Tls12);
        assert_eq!(tls.wait, Duration::from_secs(10));
    }

    #[test]
    fn plain_text_has_to_be_asked_for() {
        let args = parsed(&["--listen=:4244"]).unwrap();
        let error = args.listen().unwrap_err().to_string();
        for hint in ["--tls-dir", "--tls-cert-file", "--insecure"] {
            assert!(error.contains(hint), "{error}");
        }
        let listen = listen_of(&["--listen=:4244", "--insecure"]).unwrap();
        assert!(listen.tls.is_none());
    }

    #[test]
    fn flags_that_do_not_go_together_are_refused() {
        let refused: [&[&str]; 7] = [
            &["--tls-dir=a"],
            &["--insecure"],
            &["--listen=:1", "--insecure", "--tls-dir=a"],
            &["--listen=:1", "--tls-cert-file=a"],
            &["--listen=:1", "--tls-key-file=a"],
            &["--listen=:1", "--tls-client-ca-files=a"],
            &[
                "--listen=:1",
                "--tls-dir=a",
                "--tls-cert-file=a",
                "--tls-key-file=b",
            ],
        ];
        for line in refused {
            assert!(parsed(line).is_err(), "{line:?}");
        }
        for (line, expected) in [
            ("--socket-mode=660x", "expected permissions in octal"),
            ("--socket-mode=1777", "expected permissions in octal"),
            ("--tls-min-version=1.1", "expected 1.2 or 1.3"),
        ] {
            let error = parsed(&[line]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

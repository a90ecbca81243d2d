//! Where an agent serves, and to whom: what was typed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::bail;
use flow_api::server::{SocketAccess, TlsFiles, TlsServer, TlsVersion};
use flow_observer::agent::{DEFAULT_SOCKET, Listen};

use crate::command::duration;

/// Hubble's port of a node.
const DEFAULT_PORT: u16 = 4244;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Serving")]
#[group(skip)]
pub(super) struct Args {
    /// Unix socket to serve on
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(super) socket: PathBuf,

    /// Permissions of the socket, in octal: who may write to it may connect
    #[arg(long, value_name = "MODE", default_value = "0660", value_parser = mode)]
    socket_mode: u32,

    /// Group that the socket belongs to, by name or number [default: the agent's own]
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,

    /// Serve by TCP as well: `:PORT` on all addresses, `ADDRESS:PORT`, or `ADDRESS` for port 4244.
    /// Needs certificates
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,

    /// Folder of certificates for TCP: `tls.crt`, `tls.key` and `ca.crt` as in a Kubernetes secret,
    /// or `server.crt`, `server.key` and `client-ca.crt` as where Cilium mounts Hubble's. Clients
    /// need a certificate of that authority. Files that change are read again
    #[arg(
        long,
        value_name = "DIR",
        requires = "listen",
        conflicts_with_all = ["tls_cert_file", "tls_key_file", "tls_client_ca_files"]
    )]
    tls_dir: Option<PathBuf>,

    /// Certificate of the server, followed by its intermediates
    #[arg(
        long,
        value_name = "FILE",
        requires = "listen",
        requires = "tls_key_file"
    )]
    tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,

    /// Authorities of clients, with commas between. Clients need a certificate of one of them;
    /// without this flag, they need none
    #[arg(
        long,
        value_name = "FILES",
        value_delimiter = ',',
        requires = "tls_cert_file"
    )]
    tls_client_ca_files: Vec<PathBuf>,

    /// Oldest version of TLS to speak: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.3", value_parser = version)]
    tls_min_version: TlsVersion,

    /// How long certificates may be missing at the start. The socket is served meanwhile
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    tls_wait: Duration,

    /// Serve TCP without TLS: everybody who can connect sees all flows
    #[arg(long, requires = "listen", conflicts_with_all = ["tls_dir", "tls_cert_file"])]
    insecure: bool,
}

impl Args {
    /// Who may connect to the socket.
    pub(super) fn access(&self) -> SocketAccess {
        SocketAccess {
            mode: self.socket_mode,
            group: self.socket_group.clone(),
        }
    }

    /// Where to serve by TCP.
    pub(super) fn listen(self) -> anyhow::Result<Option<Listen>> {
        let Some(address) = self.listen else {
            return Ok(None);
        };
        let files = match (self.tls_dir, self.tls_cert_file, self.tls_key_file) {
            (Some(folder), ..) => TlsFiles::Folder(folder),
            (None, Some(cert), Some(key)) => TlsFiles::Each {
                cert,
                key,
                client_cas: self.tls_client_ca_files,
            },
            _ if self.insecure => return Ok(Some(Listen { address, tls: None })),
            _ => bail!(
                "--listen needs certificates: name their folder with --tls-dir, or each of them with \
                 --tls-cert-file, --tls-key-file and --tls-client-ca-files; --insecure serves flows \
                 in plain text to everybody who can connect"
            ),
        };
        let tls = TlsServer {
            files,
            oldest: self.tls_min_version,
            wait: self.tls_wait,
        };
        let tls = Some(tls);
        Ok(Some(Listen { address, tls }))
    }
}

pub(crate) fn mode(text: &str) -> anyhow::Result<u32> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => bail!("expected permissions in octal, as 0660"),
    }
}

pub(crate) fn version(text: &str) -> anyhow::Result<TlsVersion> {
    match text {
        "1.2" => Ok(TlsVersion::Tls12),
        "1.3" => Ok(TlsVersion::Tls13),
        _ => bail!("expected 1.2 or 1.3"),
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
    use clap::{Args as _, FromArgMatches as _};

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

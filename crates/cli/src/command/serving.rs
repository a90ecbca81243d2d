//! Who may connect to an agent or a relay: what was typed.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use flow_api::server::{SocketAccess, TlsFiles, TlsServer, TlsVersion};

use super::duration;

/// How long certificates of metrics may be missing at the start, as those of flows unless told otherwise.
const METRICS_TLS_WAIT: Duration = Duration::from_secs(300);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Serving")]
#[group(skip)]
pub(super) struct Access {
    /// Permissions of Unix sockets, in octal: who may write to one may connect
    #[arg(long, value_name = "MODE", default_value = "0660", value_parser = mode)]
    socket_mode: u32,

    /// Group that Unix sockets belong to, by name or number [default: the program's own]
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,

    /// Folder of certificates for TCP: `tls.crt`, `tls.key` and `ca.crt` as in a Kubernetes secret,
    /// or `server.crt`, `server.key` and `client-ca.crt` as where Cilium mounts Hubble's. Clients
    /// need a certificate of that authority. Files that change are read again
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["tls_cert_file", "tls_key_file", "tls_client_ca_files"]
    )]
    tls_dir: Option<PathBuf>,

    /// Certificate of the server, followed by its intermediates
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
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

    /// Oldest version of TLS to speak with clients: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.3", value_parser = tls_version)]
    tls_min_version: TlsVersion,

    /// How long certificates may be missing at the start; TCP waits for them
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    tls_wait: Duration,
}

/// How the pages for Prometheus are encrypted: what was typed. The flag that says where they are is
/// `--metrics-listen`, for agents and relays.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct MetricsTls {
    /// Folder of certificates for metrics, as of --tls-dir: whoever scrapes needs a certificate of
    /// that authority. Files that change are read again
    #[arg(
        long,
        value_name = "DIR",
        requires = "metrics_listen",
        conflicts_with_all = ["metrics_tls_cert_file", "metrics_tls_key_file", "metrics_tls_client_ca_files"]
    )]
    metrics_tls_dir: Option<PathBuf>,

    /// Certificate of the metrics server, followed by its intermediates; without it, metrics are plain
    /// text
    #[arg(
        long,
        value_name = "FILE",
        alias = "hubble-metrics-server-tls-cert-file",
        requires_all = ["metrics_listen", "metrics_tls_key_file"]
    )]
    metrics_tls_cert_file: Option<PathBuf>,

    /// Private key of that certificate
    #[arg(
        long,
        value_name = "FILE",
        alias = "hubble-metrics-server-tls-key-file",
        requires = "metrics_tls_cert_file"
    )]
    metrics_tls_key_file: Option<PathBuf>,

    /// Authorities of those who scrape, with commas between, who need a certificate of one of them;
    /// without this flag, they need none
    #[arg(
        long,
        value_name = "FILES",
        alias = "hubble-metrics-server-tls-client-ca-files",
        value_delimiter = ',',
        requires = "metrics_tls_cert_file"
    )]
    metrics_tls_client_ca_files: Vec<PathBuf>,

    /// Hubble's way of asking for TLS; here, naming certificates does
    #[arg(
        long = "hubble-metrics-server-enable-tls",
        hide = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    metrics_enable_tls: Option<bool>,
}

impl MetricsTls {
    /// How metrics are encrypted; `None` where no certificates were named.
    ///
    /// # Errors
    /// When they should be, and none were.
    pub(super) fn tls(self) -> anyhow::Result<Option<TlsServer>> {
        let (cert, key) = (self.metrics_tls_cert_file, self.metrics_tls_key_file);
        let files = match (self.metrics_enable_tls, self.metrics_tls_dir, cert, key) {
            (Some(false), ..) => return Ok(None),
            (_, Some(folder), ..) => TlsFiles::Folder(folder),
            (_, None, Some(cert), Some(key)) => TlsFiles::Each {
                cert,
                key,
                client_cas: self.metrics_tls_client_ca_files,
            },
            (None, ..) => return Ok(None),
            (Some(true), ..) => bail!(
                "--hubble-metrics-server-enable-tls needs certificates: name them with \
                 --metrics-tls-cert-file and --metrics-tls-key-file"
            ),
        };
        Ok(Some(TlsServer {
            files,
            oldest: TlsVersion::Tls13,
            wait: METRICS_TLS_WAIT,
        }))
    }
}

impl Access {
    /// Who may connect to Unix sockets.
    pub(super) fn socket(&self) -> SocketAccess {
        SocketAccess {
            mode: self.socket_mode,
            group: self.socket_group.clone(),
        }
    }

    /// How TCP is encrypted; `None` where no certificates were named.
    pub(super) fn tls(self) -> Option<TlsServer> {
        let files = match (self.tls_dir, self.tls_cert_file, self.tls_key_file) {
            (Some(folder), ..) => TlsFiles::Folder(folder),
            (None, Some(cert), Some(key)) => TlsFiles::Each {
                cert,
                key,
                client_cas: self.tls_client_ca_files,
            },
            _ => return None,
        };
        Some(TlsServer {
            files,
            oldest: self.tls_min_version,
            wait: self.tls_wait,
        })
    }
}

fn mode(text: &str) -> anyhow::Result<u32> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => bail!("expected permissions in octal, as 0660"),
    }
}

pub(super) fn tls_version(text: &str) -> anyhow::Result<TlsVersion> {
    match text {
        "1.2" => Ok(TlsVersion::Tls12),
        "1.3" => Ok(TlsVersion::Tls13),
        _ => bail!("expected 1.2 or 1.3"),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Args as _, FromArgMatches as _};

    use super::*;

    fn parsed(line: &[&str]) -> Result<MetricsTls, String> {
        let command = clap::Command::new("agent")
            .no_binary_name(true)
            .arg(Arg::new("metrics_listen").long("metrics-listen"));
        let matches = MetricsTls::augment_args(command)
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        Ok(MetricsTls::from_arg_matches(&matches).unwrap())
    }

    #[test]
    fn certificates_of_metrics_are_named_by_folder_or_one_by_one_also_by_hubbles_flags() {
        let files = |line: &[&str]| {
            let tls = parsed(line).unwrap().tls().unwrap();
            tls.map(|it| it.files)
        };
        let listen = "--metrics-listen=:9965";
        assert_eq!(files(&[listen]), None);
        let folder = files(&[listen, "--metrics-tls-dir=/etc/certs"]);
        assert_eq!(folder, Some(TlsFiles::Folder("/etc/certs".into())));
        let each = TlsFiles::Each {
            cert: "a".into(),
            key: "b".into(),
            client_cas: vec!["c".into(), "d".into()],
        };
        let ours = [
            listen,
            "--metrics-tls-cert-file=a",
            "--metrics-tls-key-file=b",
            "--metrics-tls-client-ca-files=c,d",
        ];
        let hubbles = [
            listen,
            "--hubble-metrics-server-enable-tls",
            "--hubble-metrics-server-tls-cert-file=a",
            "--hubble-metrics-server-tls-key-file=b",
            "--hubble-metrics-server-tls-client-ca-files=c,d",
        ];
        assert_eq!(files(&ours), Some(each.clone()));
        assert_eq!(files(&hubbles), Some(each));
        let off = ["--hubble-metrics-server-enable-tls=false"];
        assert_eq!(files(&[&ours[..], &off].concat()), None);
    }

    #[test]
    fn certificates_of_metrics_without_what_belongs_to_them_are_refused() {
        for line in [
            &["--metrics-tls-dir=a"][..],
            &["--metrics-listen=:1", "--metrics-tls-cert-file=a"],
            &["--metrics-listen=:1", "--metrics-tls-key-file=a"],
            &["--metrics-listen=:1", "--metrics-tls-client-ca-files=a"],
        ] {
            assert!(parsed(line).is_err(), "{line:?}");
        }
        let line = ["--metrics-listen=:1", "--hubble-metrics-server-enable-tls"];
        let error = parsed(&line).unwrap().tls().unwrap_err().to_string();
        assert!(error.contains("needs certificates"), "{error}");
    }
}

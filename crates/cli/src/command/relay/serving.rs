//! Where a relay serves, and to whom: what was typed.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use flow_api::server::{SocketAccess, TlsFiles, TlsServer, TlsVersion};
use relay::{Config, Listen};

use crate::command::{
    agent::{octal_mode, tls_version},
    duration,
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Serving")]
#[group(skip)]
pub(super) struct Args {
    /// Where to serve: `:PORT` on all addresses, `ADDRESS:PORT`, or `unix://PATH`; may be given more
    /// than once
    #[arg(
        long,
        alias = "listen-address",
        value_name = "ADDR",
        default_value = ":4245"
    )]
    listen: Vec<Listen>,

    /// Permissions of Unix sockets, in octal: who may write to one may connect
    #[arg(long, value_name = "MODE", default_value = "0660", value_parser = octal_mode)]
    socket_mode: u32,

    /// Group that Unix sockets belong to, by name or number [default: the relay's own]
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,

    /// Folder of certificates for TCP: `tls.crt`, `tls.key` and `ca.crt` as in a Kubernetes secret,
    /// or `server.crt`, `server.key` and `client-ca.crt`. Clients need a certificate of that
    /// authority. Files that change are read again. Without certificates, TCP is plain text
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["tls_cert_file", "tls_key_file", "tls_client_ca_files"]
    )]
    tls_dir: Option<PathBuf>,

    /// Certificate of the server, followed by its intermediates
    #[arg(
        long,
        alias = "tls-relay-server-cert-file",
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate
    #[arg(
        long,
        alias = "tls-relay-server-key-file",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    tls_key_file: Option<PathBuf>,

    /// Authorities of clients, with commas between. Clients need a certificate of one of them;
    /// without this flag, they need none
    #[arg(
        long,
        alias = "tls-relay-client-ca-files",
        value_name = "FILES",
        value_delimiter = ',',
        requires = "tls_cert_file"
    )]
    tls_client_ca_files: Vec<PathBuf>,

    /// Oldest version of TLS to speak with clients: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.3", value_parser = tls_version)]
    tls_min_version: TlsVersion,

    /// How long the server's certificates may be missing at the start
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    tls_wait: Duration,

    /// File of tokens, in YAML, one of which each client needs; a token may be for some namespaces
    /// only. Read again when it changes
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,

    /// Write each call down there, as a line of JSON with who asked, what, and how it ended; `-` for
    /// standard output
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,

    /// Serve metrics on `/metrics` there, as in 127.0.0.1:9966, and `/healthz` and `/readyz`
    #[arg(long, alias = "metrics-listen-address", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,

    /// Serve health alone there, without TLS, for probes: `:PORT`, `ADDRESS:PORT` or `unix://PATH`
    #[arg(long, alias = "health-listen-address", value_name = "ADDR")]
    health_listen: Option<Listen>,
}

impl Args {
    /// Puts into the configuration what was typed.
    pub(super) fn apply(self, config: &mut Config) {
        let files = match (self.tls_dir, self.tls_cert_file, self.tls_key_file) {
            (Some(folder), ..) => Some(TlsFiles::Folder(folder)),
            (None, Some(cert), Some(key)) => Some(TlsFiles::Each {
                cert,
                key,
                client_cas: self.tls_client_ca_files,
            }),
            _ => None,
        };
        config.tls = files.map(|files| TlsServer {
            files,
            oldest: self.tls_min_version,
            wait: self.tls_wait,
        });
        config.listen = self.listen;
        config.tokens_file = self.tokens_file;
        config.audit_log = self.audit_log;
        config.metrics_listen = self.metrics_listen;
        config.health_listen = self.health_listen;
        config.socket_access = SocketAccess {
            mode: self.socket_mode,
            group: self.socket_group,
        };
    }
}

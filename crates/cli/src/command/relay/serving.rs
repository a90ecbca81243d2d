//! Where a relay serves, and to whom: what was typed.

use std::{net::SocketAddr, path::PathBuf};

use relay::{Config, Listen};

use crate::command::serving::{Access, MetricsTls};

#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Serving",
    mut_arg("tls_cert_file", |it| it.alias("tls-relay-server-cert-file")),
    mut_arg("tls_key_file", |it| it.alias("tls-relay-server-key-file")),
    mut_arg("tls_client_ca_files", |it| it.alias("tls-relay-client-ca-files"))
)]
#[group(skip)]
pub(super) struct Args {
    /// Where to serve: `:PORT` on all addresses, `ADDRESS:PORT`, or `unix://PATH`; may be given more
    /// than once. Without certificates, TCP is plain text
    #[arg(
        long,
        alias = "listen-address",
        value_name = "ADDR",
        default_value = ":4245"
    )]
    listen: Vec<Listen>,

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

    #[command(flatten)]
    metrics_tls: MetricsTls,

    /// Serve health alone there, without TLS, for probes: `:PORT`, `ADDRESS:PORT` or `unix://PATH`
    #[arg(long, alias = "health-listen-address", value_name = "ADDR")]
    health_listen: Option<Listen>,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// Puts into the configuration what was typed.
    pub(super) fn apply(self, config: &mut Config) -> anyhow::Result<()> {
        config.listen = self.listen;
        config.tokens_file = self.tokens_file;
        config.audit_log = self.audit_log;
        config.metrics_listen = self.metrics_listen;
        config.metrics_tls = self.metrics_tls.tls()?;
        config.health_listen = self.health_listen;
        config.socket_access = self.access.socket();
        config.tls = self.access.tls();
        Ok(())
    }
}

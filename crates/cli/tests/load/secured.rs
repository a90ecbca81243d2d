//! TCP with mutual TLS, by the flags of both sides.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Output, Stdio},
    time::Instant,
};

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use testbed::bind;

use crate::agent::{Agent, BINARY, PATIENCE};

/// What a relay of Hubble asks for.
const SERVER_NAME: &str = "node-1.default.hubble-grpc.cilium.io";

/// A folder in Hubble's layout, with a client's certificate beside it.
pub(crate) fn certificates() -> Result<TempDir> {
    let mut params = CertificateParams::new([])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let folder = TempDir::new()?;
    fs::write(folder.path().join("ca.crt"), authority.pem())?;
    for (name, domain) in [
        ("tls", "*.default.hubble-grpc.cilium.io"),
        ("client", "*.hubble-relay.cilium.io"),
    ] {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new([domain.to_owned()])?;
        let certificate = params.signed_by(&key, &authority)?;
        fs::write(folder.path().join(format!("{name}.crt")), certificate.pem())?;
        fs::write(
            folder.path().join(format!("{name}.key")),
            key.serialize_pem(),
        )?;
    }
    Ok(folder)
}

/// Asks for the status by TCP.
fn status(port: u16, folder: &Path, with_certificate: bool) -> Result<Output> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new(BINARY);
    command
        .args(["status", "--server", &format!("tls://127.0.0.1:{port}")])
        .args(["--tls-ca-cert-files", &file("ca.crt")])
        .args(["--tls-server-name", SERVER_NAME])
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    if with_certificate {
        command.args(["--tls-client-cert-file", &file("client.crt")]);
        command.args(["--tls-client-key-file", &file("client.key")]);
    }
    Ok(command.output()?)
}

/// The command line reaches an agent by its flags, and only with a certificate.
pub(crate) async fn reached() -> Result<()> {
    let certificates = certificates()?;
    let folder = certificates.path();
    let port = bind::free(Ipv4Addr::LOCALHOST)?.port();
    let listen = format!("127.0.0.1:{port}");
    let tls_dir = folder.display().to_string();
    let flags = ["--listen", &listen, "--tls-dir", &tls_dir];
    let (_agent, _packets) = Agent::start(&flags).await?;
    let begun = Instant::now();
    let shown = loop {
        let shown = status(port, folder, true)?;
        if shown.status.success() {
            break shown;
        }
        // The socket answers a moment before the port does.
        ensure!(begun.elapsed() < PATIENCE, "{shown:?}");
    };
    let shown = String::from_utf8(shown.stdout)?;
    ensure!(shown.contains("Ok"), "{shown}");
    let refused = status(port, folder, false)?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    Ok(())
}

//! Names from the wire, by real programs: dnsmasq, curl, openssl, and a client of QUIC.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
};
use testbed::{
    Cluster, Outside, Place, PodSpec, Spec, wait,
    workload::{self, Certificate},
};

use crate::{Rule, observed, palomar};

pub(crate) const RULES: &[Rule] = &[
    (
        "flows_to_what_a_pod_looked_up_are_found_by_its_name",
        looked_up,
    ),
    (
        "flows_are_found_by_the_name_that_a_client_asks_a_server_for",
        asked_for,
    ),
    (
        "a_quic_connection_is_found_by_the_name_in_its_hello",
        by_quic,
    ),
];

/// How long a program may take to begin, and flows to come.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) const CLIENT: &str = "shop/web-0";
pub(crate) const RESOLVER: &str = "kube-system/dns-0";

/// A program that is ended with the test.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for one that has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A node with a client and a resolver, and hosts outside. Agents aggregate as they do unless told
/// otherwise.
pub(crate) fn with_outside(
    hosts: &[&str],
    test: impl FnOnce(&Cluster) -> Result<()>,
) -> Result<()> {
    let mut spec = Spec::with_nodes(1)
        .pod("node-1", PodSpec::new("shop", "web"))
        .pod("node-1", PodSpec::new("kube-system", "dns"));
    for host in hosts {
        spec = spec.outside(host);
    }
    let mut cluster = Cluster::start(&spec)?;
    cluster.start_agents_with(Path::new(palomar::BINARY), &["--ring-capacity", "65535"])?;
    test(&cluster)
        .with_context(|| cluster.last_words())
        .map_err(observed::last_words_last)
}

/// dnsmasq in the resolver's pod.
pub(crate) fn serve_names(cluster: &Cluster, records: &[&str]) -> Result<Program> {
    let mut dnsmasq = quiet("dnsmasq");
    dnsmasq
        .args(["--no-daemon", "--no-resolv", "--no-hosts", "--pid-file"])
        .args(["--conf-file=/dev/null", "--user=root"])
        .args(records);
    Ok(Program(cluster.pod(RESOLVER)?.spawn(dnsmasq)?))
}

/// Runs curl in the client's pod until it succeeds. It uses the system's own resolver, with another
/// configuration than the system's.
pub(crate) fn call_by_name(cluster: &Cluster, arguments: &str) -> Result<()> {
    let (client, resolver) = (cluster.pod(CLIENT)?, cluster.pod(RESOLVER)?);
    let configuration = cluster.directory().join("resolv.conf");
    fs::write(&configuration, format!("nameserver {}\n", resolver.ipv4()))?;
    let calls_by_name = format!(
        "mount --bind {} /etc/resolv.conf && exec curl -4 -s -m 5 {arguments}",
        configuration.display()
    );
    wait::until("curl's success", TIMEOUT, || {
        let mut curl = quiet("unshare");
        curl.args(["--mount", "sh", "-c", &calls_by_name]);
        let status = client.spawn(curl)?.wait()?;
        Ok(status.success().then_some(()))
    })
}

fn looked_up() -> Result<()> {
    with_outside(&["api"], |cluster| {
        let server = cluster.outside("api")?;
        let [v4, _] = server.ips();
        let _dnsmasq = serve_names(
            cluster,
            &[
                &format!("--host-record=edge.example.test,{v4}"),
                "--cname=api.example.test,edge.example.test",
            ],
        )?;
        let _server = serve_tls(cluster, server)?;

        call_by_name(cluster, "-k -o /dev/null https://api.example.test/")?;
        let line = wait::until("a SYN by name", TIMEOUT, || {
            let lines = lines(cluster, &["--to-fqdn", "api.example.test"])?;
            let mut lines = lines.lines();
            Ok(lines.find(|line| line.contains("SYN)")).map(str::to_owned))
        })?;
        // As in `shop/web-0:33450 (ID:4306) -> api.example.test:443 (ID:16777220) from-endpoint …`.
        let (_, destination) = line.split_once(" -> ").context(line.clone())?;
        let number = destination
            .strip_prefix("api.example.test:443 (ID:")
            .and_then(|rest| rest.split_once(')'))
            .and_then(|(number, _)| number.parse::<u32>().ok());
        ensure!(
            number.is_some_and(|number| number > 1 << 24) && line.contains(" shop/web-0:"),
            "{line}"
        );
        // The answers come back by the same name, patterns match, and other names do not.
        for (arguments, is_there) in [
            (["--from-fqdn", "api.example.test"], true),
            (["--to-fqdn", "*.example.test"], true),
            (["--to-fqdn", "edge.example.test"], false),
            (["--to-fqdn", "example.test"], false),
        ] {
            let lines = lines(cluster, &arguments)?;
            ensure!(lines.is_empty() != is_there, "{arguments:?}: {lines}");
        }
        Ok(())
    })
}

fn asked_for() -> Result<()> {
    with_outside(&["tls", "split", "web"], |cluster| {
        let client = cluster.pod(CLIENT)?;
        let server = cluster.outside("tls")?;
        let _server = serve_tls(cluster, server)?;
        let to = SocketAddr::from((server.ips()[0], 443));
        wait::until("openssl's success", TIMEOUT, || {
            let mut openssl = quiet("openssl");
            openssl
                .args(["s_client", "-servername", "sni.example.test", "-connect"])
                .arg(to.to_string());
            Ok(client.spawn(openssl)?.wait()?.success().then_some(()))
        })?;

        let name = "split.example.test";
        let split = cluster.outside("split")?;
        let certificate = Certificate::for_name(name)?;
        let _split = workload::serve_https(split, 443, &certificate)?;
        let to = SocketAddr::from((split.ips()[0], 443));
        client.run(|| greet_in_two_segments(to, name, &certificate))?;

        let web = cluster.outside("web")?;
        let _web = workload::serve_http(web, 80)?;
        let mut curl = quiet("curl");
        curl.args(["-s", "-m", "5", "-o", "/dev/null", "--resolve"])
            .arg(format!("plain.example.test:80:{}", web.ips()[0]))
            .arg("http://plain.example.test/");
        ensure!(client.spawn(curl)?.wait()?.success(), "curl failed");

        for (name, host, origin) in [
            ("sni.example.test", server, "tls"),
            (name, split, "tls"),
            ("plain.example.test", web, "http"),
        ] {
            is_called(cluster, name, host, origin)?;
        }
        Ok(())
    })
}

fn by_quic() -> Result<()> {
    with_outside(&["short", "long"], |cluster| {
        for (host, protocols) in [("short", 1), ("long", 150)] {
            let name = format!("{host}.example.test");
            quic(cluster, cluster.outside(host)?, &name, protocols)?;
            is_called(cluster, &name, cluster.outside(host)?, "quic")?;
        }
        Ok(())
    })
}

/// Waits for flows to `host` by `name`, and asks where that is known from.
fn is_called(cluster: &Cluster, name: &str, host: &Outside, origin: &str) -> Result<()> {
    let address = host.ips()[0].to_string();
    wait::until(&format!("flows to {name}"), TIMEOUT, || {
        let lines = lines(cluster, &["--to-fqdn", name, "--ip-translation=false"])?;
        Ok(lines.contains(&address).then_some(()))
    })?;
    let detail = lines(cluster, &["--to-fqdn", name, "--detail", "-o", "json"])?;
    let expected = format!(r#""name":"{name}","origin":"{origin}","told":"#);
    ensure!(detail.contains(&expected), "no {expected} in {detail}");
    Ok(())
}

/// What `palomar observe` prints of all that the agent has.
fn lines(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let server = palomar::server(&cluster.agent_socket("node-1"));
    let all = ["observe", "--server", &server, "--last", observed::ALL];
    palomar::stdout(&[&all, arguments].concat())
}

pub(crate) fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// An HTTPS server with a certificate that nobody looks at.
fn serve_tls(cluster: &Cluster, host: &Outside) -> Result<Program> {
    let certificate = cluster.directory().join("server.pem");
    let key = cluster.directory().join("server.key");
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["any.test".to_owned()])?;
    fs::write(&certificate, cert.pem())?;
    fs::write(&key, signing_key.serialize_pem())?;
    let mut server = quiet("openssl");
    server.args(["s_server", "-accept", "443", "-www", "-quiet", "-cert"]);
    server.arg(&certificate).arg("-key").arg(&key);
    Ok(Program(host.spawn(server)?))
}

/// Sends the first bytes of a ClientHello alone, and waits for the certificate.
fn greet_in_two_segments(to: SocketAddr, name: &str, certificate: &Certificate) -> Result<()> {
    let name = ServerName::try_from(name.to_owned())?;
    let mut connection = ClientConnection::new(certificate.client(), name)?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello)?;
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let (first, second) = hello.split_at(40);
    stream.write_all(first)?;
    stream.write_all(second)?;
    stream.read_exact(&mut [0])?;
    Ok(())
}

/// A connection to `host`, whose hello offers so many protocols: with many it takes several packets.
fn quic(cluster: &Cluster, host: &Outside, name: &str, protocols: usize) -> Result<()> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()])?;
    let certificate: CertificateDer<'static> = cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(default_provider());
    let offered: Vec<Vec<u8>> = (0..protocols)
        .map(|number| format!("protocol-{number:03}").into_bytes())
        .collect();
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())?;
    server.alpn_protocols.clone_from(&offered);
    let server = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate)?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    client.alpn_protocols = offered;
    let client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));

    let to = SocketAddr::from((host.ips()[0], 443));
    let from = SocketAddr::from((IpAddr::from(cluster.pod(CLIENT)?.ipv4()), 0));
    thread::scope(|scope| {
        let (bound, wait) = sync_channel(1);
        scope.spawn(move || {
            host.run(move || {
                in_runtime(async move {
                    let endpoint = quinn::Endpoint::server(server, to)?;
                    // The receiver waits for this and nothing else.
                    bound.send(()).ok();
                    let incoming = endpoint.accept().await.context("no connection")?;
                    incoming.await?.closed().await;
                    Ok(())
                })
            })
        });
        wait.recv().context("the server did not begin")?;
        cluster.pod(CLIENT)?.run(|| {
            in_runtime(async move {
                let endpoint = quinn::Endpoint::client(from)?;
                let connection = endpoint.connect_with(client, to, name)?.await?;
                connection.close(0u32.into(), b"done");
                endpoint.wait_idle().await;
                Ok(())
            })
        })
    })
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { tokio::time::timeout(TIMEOUT, work).await? })
}

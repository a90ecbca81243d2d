//! Agents and relays of our own.

use std::{fs, process::Stdio};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::{fails, listener, secured::Authority};
use crate::harness::*;

#[test]
fn an_agent_is_well_and_a_relay_names_the_node_that_is_gone() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("flows.json"), [ASKS, ANSWERS].join("\n")).unwrap();
    let replay = format!("replay:{}", path("flows.json"));
    let agent = palomar(&["agent", "--source", &replay, "--kubernetes", "off"])
        .args(["--containers", "off", "--node-name", "node-1"])
        .args(["--socket", &path("agent.sock")])
        .stderr(Stdio::null())
        .spawn();
    let _agent = Running(agent.unwrap());
    let server = format!("unix://{}", path("agent.sock"));
    let is_well = |ran: &Ran| ran.code == Some(0) && ran.stdout.contains("the latest");
    let ran = eventually(&["doctor", "--server", &server], is_well);
    let version = env!("CARGO_PKG_VERSION");
    let begin = format!("{server}  ok  palomar v{version}, clock ");
    let line = ran.ok();
    assert!(line.starts_with(&begin), "{line}");
    assert!(
        line.contains(" ms, no flow for a second, the latest "),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");

    let (free, dead) = listener();
    drop(free);
    let relay_server = format!("unix://{}", path("relay.sock"));
    let relay = palomar(&["relay", "--listen", &relay_server])
        .args(["--peer", &format!("node-1={server}")])
        .args(["--peer", &format!("node-2={dead}")])
        .stderr(Stdio::null())
        .spawn();
    let _relay = Running(relay.unwrap());
    let is_there = |ran: &Ran| ran.stdout.contains("1 of 2 nodes connected");
    let ran = eventually(&["doctor", "--server", &relay_server], is_there);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let column = |name: &str| format!("{name:<width$}  ", width = relay_server.len());
    assert!(
        lines[0].starts_with(&format!(
            "{relay_server}  ok  palomar-relay v{version}, 1 of 2"
        )),
        "{lines:?}"
    );
    // Of a relay the second is known, and not the fraction.
    assert!(
        lines[0].contains(" connected, clock within 1 s, "),
        "{lines:?}"
    );
    let well = format!(
        "{}ok  {server}  palomar v{version}, clock ",
        column("node-1")
    );
    assert!(lines[1].starts_with(&well), "{lines:?}");
    let dead = format!(
        "{}port failed: nobody listens on {dead}; start the agent or relay there, or check the \
         port",
        column("node-2")
    );
    assert_eq!(lines[2..], [dead], "{lines:?}");
}

#[test]
fn an_agent_with_tls_is_well_for_those_whom_it_knows() {
    let authority = Authority::new();
    let file = |name: &str| authority.folder.path().join(name).display().to_string();
    for (name, domain) in [("tls", "node-1.example"), ("client", "doctor.example")] {
        let mut params = CertificateParams::new([domain.to_owned()]).unwrap();
        params.not_after = date_time_ymd(2099, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        fs::write(file(&format!("{name}.crt")), certificate.pem()).unwrap();
        fs::write(file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let (free, address) = listener();
    drop(free);
    let tls_dir = authority.folder.path().display().to_string();
    let agent = palomar(&["agent", "--source", "none", "--kubernetes", "off"])
        .args(["--containers", "off", "--node-name", "node-1"])
        .args(["--socket", &file("agent.sock"), "--tls-dir", &tls_dir])
        .args(["--listen", &address.to_string()])
        .stderr(Stdio::null())
        .spawn();
    let _agent = Running(agent.unwrap());
    let ca = file("ca.crt");
    let (cert, key) = (file("client.crt"), file("client.key"));
    let server = format!("tls://{address}");
    let mut args = vec!["doctor", "--tls-ca-cert-files", &ca, "--tls-server-name"];
    args.extend(["node-1.example", &server]);
    let known = [
        "--tls-client-cert-file",
        &cert,
        "--tls-client-key-file",
        &key,
    ];
    let ran = eventually(&[&args[..], &known].concat(), |ran| ran.code == Some(0));
    let line = ran.ok();
    let begin =
        format!("{server}  warning  {address}  TLS 1.3, certificate until 2099-01-01, palomar v");
    assert!(line.starts_with(&begin), "{line}");
    let end = "no flow for a second, warning: no flows in its ring, so see 'palomar status' of \
         that node for what it reads\n";
    assert!(line.ends_with(end), "{line}");
    fails(
        &server,
        &args[1..5],
        "TLS failed: the server demands a client certificate; add --tls-client-cert-file and \
         --tls-client-key-file",
    );
}

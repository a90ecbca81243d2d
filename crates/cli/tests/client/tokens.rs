//! What the command line shows of a relay to those who may see some namespaces only.

use std::{fs, net::Ipv4Addr, process::Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use testbed::bind;

use crate::harness::*;

const OPERATOR: &str = "operators-0123456789";
const SHOP: &str = "team-shop-0123456789";

/// A web server of the shop asks the vault of the bank; and the vault its own database.
const SHOP_ASKS: &str = r#"{"flow":{"time":"2026-03-01T09:30:05.250Z","uuid":"shop","verdict":"DROPPED","IP":{"source":"10.1.0.4","destination":"10.1.0.9","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":40812,"destination_port":443}},"source":{"identity":4711,"namespace":"shop","labels":["k8s:app=web"],"pod_name":"web-0"},"destination":{"identity":4712,"namespace":"bank","labels":["k8s:app=vault"],"pod_name":"vault-0","workloads":[{"name":"vault","kind":"StatefulSet"}]},"Type":"L3_L4","node_name":"node-1","destination_names":["vault.bank.svc"],"event_type":{"type":1,"sub_type":133},"drop_reason_desc":"POLICY_DENIED"},"node_name":"node-1","time":"2026-03-01T09:30:05.250Z"}"#;
const BANK_ASKS: &str = r#"{"flow":{"time":"2026-03-01T09:30:05.260Z","uuid":"bank","verdict":"FORWARDED","IP":{"source":"10.1.0.9","destination":"10.1.0.7","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":40812,"destination_port":5432}},"source":{"identity":4712,"namespace":"bank","pod_name":"vault-0"},"destination":{"identity":4713,"namespace":"bank","pod_name":"db-0"},"Type":"L3_L4","node_name":"node-1","event_type":{"type":4}},"node_name":"node-1","time":"2026-03-01T09:30:05.260Z"}"#;

/// The certificate of a server, and its authority.
fn certificate(folder: &TempDir) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(["relay.example".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2099, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("relay.crt", certificate.pem());
    write("relay.key", key.serialize_pem());
    write("authority.crt", issuer.pem());
}

#[test]
fn a_team_sees_its_own_flows_and_only_the_address_of_the_other_end() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("flows.json"), [SHOP_ASKS, BANK_ASKS].join("\n")).unwrap();
    let tokens = format!(
        "tokens:\n- name: operators\n  token: {OPERATOR}\n\
         - name: team-shop\n  token: {SHOP}\n  namespaces: [shop]\n"
    );
    fs::write(path("tokens.yaml"), tokens).unwrap();
    certificate(&folder);
    let agent = palomar(&[
        "agent",
        "--source",
        &format!("replay:{}", path("flows.json")),
    ])
    .args(["--kubernetes", "off", "--containers", "off"])
    .args(["--node-name", "node-1", "--socket", &path("agent.sock")])
    .stderr(Stdio::null())
    .spawn();
    let _agent = Running(agent.unwrap());
    let address = bind::free(Ipv4Addr::LOCALHOST).unwrap().to_string();
    let relay = palomar(&["relay", "--listen", &address])
        .args(["--tls-cert-file", &path("relay.crt")])
        .args(["--tls-key-file", &path("relay.key")])
        .args(["--peer", &format!("node-1=unix://{}", path("agent.sock"))])
        .args(["--tokens-file", &path("tokens.yaml")])
        .stderr(Stdio::null())
        .spawn();
    let _relay = Running(relay.unwrap());

    let (server, authority) = (format!("tls://{address}"), path("authority.crt"));
    let args = |token: &str, more: &[&str]| {
        let args = [
            "observe",
            "--server",
            &server,
            "--tls-ca-cert-files",
            &authority,
        ];
        let name = ["--tls-server-name", "relay.example"];
        let who = ["--basic-auth-username", "x", "--basic-auth-password", token];
        let args: Vec<String> = [&args[..], &name, &who, &["--last", "10"], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        args
    };
    let observe = |token: &str, more: &[&str]| {
        let args = args(token, more);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let all = args(OPERATOR, &["-o", "json"]);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let has_both = |ran: &Ran| ran.stdout.contains("\"bank\"") && ran.stdout.contains("\"shop\"");
    let ran = eventually(&all, has_both);
    assert!(ran.stdout.contains("vault.bank.svc"), "{ran:?}");

    let seen = observe(SHOP, &["-o", "json"]).stdout;
    let flows: Vec<serde_json::Value> = seen
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["flow"].is_object())
        .collect();
    let [flow] = &flows[..] else {
        panic!("one flow: {seen}");
    };
    let flow = &flow["flow"];
    assert_eq!(flow["uuid"], "shop");
    assert_eq!(flow["IP"]["destination"], "10.1.0.9");
    assert_eq!(flow["l4"]["TCP"]["destination_port"], 443);
    assert_eq!(flow["drop_reason_desc"], "POLICY_DENIED");
    assert_eq!(flow["source"]["pod_name"], "web-0");
    assert_eq!(flow["destination"], serde_json::json!({}));
    assert!(!seen.contains("vault") && !seen.contains("bank"), "{seen}");

    let line = observe(SHOP, &[]).stdout;
    assert!(line.contains("shop/web-0:40812"), "{line}");
    assert!(
        line.contains("10.1.0.9:443") && !line.contains("bank"),
        "{line}"
    );

    // What is not shown is not found either.
    for filter in [
        &["--to-label", "app=vault"][..],
        &["--to-identity", "4712"],
        &["--to-workload", "StatefulSet/vault"],
        &["--to-fqdn", "vault.*"],
    ] {
        let ran = observe(SHOP, &[&["-o", "json"], filter].concat());
        assert!(!ran.stdout.contains("\"flow\""), "{filter:?}: {ran:?}");
        let ran = observe(OPERATOR, &[&["-o", "json"], filter].concat());
        assert!(ran.stdout.contains("\"flow\""), "{filter:?}: {ran:?}");
    }
    let ran = observe(SHOP, &["-o", "json", "--not", "--to-label", "app=vault"]);
    assert!(ran.stdout.contains("\"flow\""), "{ran:?}");
    let denied = observe(SHOP, &["--to-pod", "bank/vault", "--from-pod", "bank/"]);
    assert_eq!(denied.code, Some(1));
    assert!(denied.stderr.contains("for namespaces shop"), "{denied:?}");
}

//! `palomar doctor` before servers that each have one thing wrong with them.

mod hubble;
#[cfg(feature = "node")]
mod nodes;
mod secured;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::harness::*;

/// How a server of HTTP/2 begins: an empty frame of settings.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// A line on standard output and an exit code.
#[track_caller]
fn told(code: i32, args: &[&str]) -> String {
    let ran = run(&[&["doctor"], args].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{ran:?}");
    ran.stdout
}

/// The line of one failed server.
#[track_caller]
fn fails(target: &str, flags: &[&str], words: &str) {
    let line = told(1, &[flags, &[target]].concat());
    assert_eq!(line, format!("{target}  {words}\n"));
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Answers all connections with these bytes, and goes on to read.
fn speaking(bytes: &'static [u8]) -> SocketAddr {
    let (listener, address) = listener();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Clients come and go as they like.
            if stream.read(&mut [0; 1024]).is_ok() {
                stream.write_all(bytes).ok();
            }
        }
    });
    address
}

#[test]
fn a_socket_that_does_not_exist() {
    fails(
        "unix:///nonexistent/observer.sock",
        &[],
        "socket failed: /nonexistent/observer.sock does not exist; start one with 'palomar \
         agent', or check --server",
    );
}

#[test]
fn a_file_that_is_no_socket_and_a_socket_that_nobody_serves() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file.sock");
    fs::write(&file, "").unwrap();
    let shown = file.display();
    fails(
        &format!("unix://{shown}"),
        &[],
        &format!("socket failed: {shown} is no socket; check --server"),
    );
    let left = folder.path().join("left.sock");
    drop(UnixListener::bind(&left).unwrap());
    let shown = left.display();
    fails(
        &format!("unix://{shown}"),
        &[],
        &format!(
            "socket failed: nobody listens on {shown}; the agent that made it has ended: start it \
             again"
        ),
    );
}

#[test]
fn a_port_that_nobody_listens_on() {
    let (free, address) = listener();
    drop(free);
    fails(
        &address.to_string(),
        &[],
        &format!(
            "port failed: nobody listens on {address}; start the agent or relay there, or check \
             the port"
        ),
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_port_that_leaves_packets_without_an_answer() {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket,
    };
    use std::{net::TcpStream, os::fd::AsRawFd as _};

    let (family, kind) = (AddressFamily::Inet, SockType::Stream);
    let full = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(full.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    listen(&full, Backlog::new(0).unwrap()).unwrap();
    let address: SockaddrIn = getsockname(full.as_raw_fd()).unwrap();
    let address = SocketAddr::from((address.ip(), address.port()));
    // The kernel drops who comes when the queue is full.
    let patience = Duration::from_millis(200);
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, patience) {
        queue.push(stream);
    }
    fails(
        &address.to_string(),
        &["--timeout", "300ms"],
        &format!(
            "port failed: no answer from {address} within 300ms; is the host up, or does a \
             firewall drop the packets?"
        ),
    );
}

#[test]
fn a_name_without_address() {
    // No name server is asked about it.
    let line = told(1, &["no..host:4244"]);
    assert!(
        line.starts_with("no..host:4244  name failed: no..host has no address: ")
            && line.ends_with("; check the name, or this machine's name servers\n"),
        "{line}"
    );
}

#[test]
fn a_listener_that_never_answers() {
    let (_silent, address) = listener();
    fails(
        &address.to_string(),
        &["--timeout", "300ms"],
        "gRPC failed: the connection stands, but nothing is said within 300ms; the server hangs, \
         or it is no agent or relay: check the port",
    );
    let line = told(1, &["--timeout", "300ms", &format!("tls://{address}")]);
    assert!(
        line.contains("TLS failed: no answer within 300ms"),
        "{line}"
    );
}

#[test]
fn a_server_of_something_else() {
    let web = speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let next = "this is no agent or relay: check the port";
    let target = web.to_string();
    fails(
        &target,
        &[],
        &format!("gRPC failed: the server speaks HTTP/1; {next}"),
    );
    fails(
        &format!("tls://{web}"),
        &[],
        &format!("TLS failed: the server speaks HTTP/1 without TLS; {next}"),
    );
    let mail = speaking(b"220 mail ready\r\n").to_string();
    fails(
        &mail,
        &[],
        &format!("gRPC failed: the server answers with \"220 mail \"; {next}"),
    );
}

#[test]
fn a_plain_server_that_is_asked_with_tls() {
    let plain = speaking(SETTINGS);
    fails(
        &format!("tls://{plain}"),
        &[],
        "TLS failed: the server speaks gRPC without TLS; drop --tls or tls://, or give the server \
         a certificate",
    );
}

#[test]
fn what_is_mistyped_is_told_by_the_exit_code() {
    for (args, message) in [
        (&["doctor", "--nope"][..], "unknown flag: --nope"),
        (&["doctor", "-o", "xml"], "invalid output format: xml"),
        (
            &["doctor", "relay:http"],
            "invalid server \"relay:http\": port \"http\" is not a number from 1 to 65535",
        ),
        (
            &["doctor", "--tls-ca-cert-files", "/nonexistent/ca.crt"],
            "cannot load cert '/nonexistent/ca.crt': no such file or directory",
        ),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert_eq!(ran.stderr, format!("{message}\n"), "{args:?}");
    }
}

#[test]
fn json_names_the_step() {
    let (free, address) = listener();
    drop(free);
    let line = told(1, &["-o", "json", &address.to_string()]);
    let report: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(report["state"], "failed");
    assert_eq!(report["failure"]["step"], "port");
}

//! The least that a follow costs: a program that reads what comes from each peer, every 10 ms, which is
//! when each has one more flow, and writes it all on. It knows nothing of frames, order or time.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Args;
use flow_api::{connect::Target, frames::put_frame, observer::GetFlowsRequest};
use prost::Message as _;

use crate::{
    message::put_header,
    parts::PATIENCE,
    peer::{Behaviour, Peers, addresses},
    process::Running,
};

const TURN: Duration = Duration::from_millis(10);

/// What a turn brings at most: some flows of each of thousands.
const ROOM: usize = 16 << 20;

/// Frames and flags of RFC 9113.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW: [u8; 2] = [0, 4];
/// More than comes.
const WINDOW: u32 = 1 << 30;

/// What the child is told.
#[derive(Debug, Args)]
pub(crate) struct ChildOptions {
    #[arg(long)]
    peers: u32,
    #[arg(long)]
    port: u16,
    /// Where everything goes
    #[arg(long)]
    to: SocketAddr,
}

/// The child, until it is killed.
pub(crate) fn child(options: &ChildOptions) -> Result<()> {
    let mut sink = TcpStream::connect(options.to)?;
    let mut streams = Vec::new();
    for peer in addresses(options.peers, options.port)? {
        if let Target::Tcp { host, port } = peer.address {
            let mut stream = TcpStream::connect((host, port))?;
            stream.write_all(&request())?;
            stream.set_nonblocking(true)?;
            streams.push(stream);
        }
    }
    let mut bytes = vec![0; ROOM];
    let mut turn = Instant::now();
    loop {
        let mut filled = 0;
        for stream in &mut streams {
            match stream.read(&mut bytes[filled..]) {
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        sink.write_all(&bytes[..filled])?;
        turn += TURN;
        std::thread::sleep(turn.saturating_duration_since(Instant::now()));
    }
}

/// Everything that a client of HTTP/2 says to follow, as far as mock peers read it.
fn request() -> Vec<u8> {
    let mut message = Vec::new();
    let follow = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    put_frame(&mut message, |out| out.extend(follow.encode_to_vec()));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    put_header(&mut bytes, 6, SETTINGS, 0, 0);
    bytes.extend(INITIAL_WINDOW);
    bytes.extend(WINDOW.to_be_bytes());
    put_header(&mut bytes, 4, WINDOW_UPDATE, 0, 0);
    bytes.extend(WINDOW.to_be_bytes());
    put_header(&mut bytes, 0, HEADERS, END_HEADERS, 1);
    put_header(&mut bytes, message.len(), DATA, END_STREAM, 1);
    bytes.extend(message);
    bytes
}

/// µs of processor time per flow.
pub(crate) fn measure(count: u32, rate: f64, time: Duration) -> Result<f64> {
    let behaviour = Behaviour {
        rate,
        ..Behaviour::default()
    };
    let (peers, port) = Peers::start(count, behaviour)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (peers_text, port, to) = (
        count.to_string(),
        port.to_string(),
        listener.local_addr()?.to_string(),
    );
    let arguments = [
        "floor",
        "--peers",
        &peers_text,
        "--port",
        &port,
        "--to",
        &to,
    ];
    let process = Running::start(&arguments, Stdio::null())?;
    let (mut sink, _) = listener.accept()?;
    std::thread::spawn(move || std::io::copy(&mut sink, &mut std::io::sink()));
    let began = Instant::now();
    while peers.asked.load(Ordering::Relaxed) < count as usize {
        ensure!(
            began.elapsed() < PATIENCE,
            "the floor does not ask all peers"
        );
        std::thread::sleep(TURN);
    }
    std::thread::sleep(Duration::from_secs(1));
    let (before, made) = (process.cpu()?, peers.made.load(Ordering::Relaxed));
    std::thread::sleep(time);
    let cpu = process.cpu()?.saturating_sub(before);
    let made = peers.made.load(Ordering::Relaxed) - made;
    Ok(cpu.as_secs_f64() * 1e6 / made as f64)
}

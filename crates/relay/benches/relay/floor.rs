//! The least that reading costs: a program that reads what comes from each peer, every 10 ms or as long as
//! there is more, and writes it all on. It knows nothing of frames, order or time.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Args;
use flow_api::{connect::Target, frames::put_frame, observer::GetFlowsRequest};
use prost::Message as _;

use crate::{
    message::{SIZES, put_header},
    parts::PATIENCE,
    peer::{Behaviour, Peers, addresses},
    process::Running,
};

/// When each of those who are followed has one more flow.
const TURN: Duration = Duration::from_millis(10);

/// Nothing more comes when nothing has come for so long.
const SILENCE: Duration = Duration::from_millis(300);

/// What is read and written together, small enough to stay in the processor's caches.
const LOT: usize = 256 << 10;

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
    /// Ask for what peers hold, instead of following them
    #[arg(long)]
    all: bool,
    /// Where everything goes
    #[arg(long)]
    to: SocketAddr,
}

/// The child, until it is killed.
pub(crate) fn child(options: &ChildOptions) -> Result<()> {
    let mut sink = TcpStream::connect(options.to)?;
    let request = request(options.all);
    let mut streams = Vec::new();
    for peer in addresses(options.peers, options.port)? {
        if let Target::Tcp { host, port } = peer.address {
            let mut stream = TcpStream::connect((host, port))?;
            stream.write_all(&request)?;
            stream.set_nonblocking(true)?;
            streams.push(stream);
        }
    }
    let mut bytes = vec![0; LOT * 2];
    loop {
        let turn = Instant::now();
        let (mut came, mut filled) = (0, 0);
        for stream in &mut streams {
            match stream.read(&mut bytes[filled..]) {
                Ok(read) => (came, filled) = (came + read, filled + read),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if filled >= LOT {
                sink.write_all(&bytes[..filled])?;
                filled = 0;
            }
        }
        sink.write_all(&bytes[..filled])?;
        if came < LOT {
            std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
        }
    }
}

/// Everything that a client of HTTP/2 says to ask for flows, as far as mock peers read it.
fn request(all: bool) -> Vec<u8> {
    let mut message = Vec::new();
    let request = GetFlowsRequest {
        number: if all { u64::MAX >> 1 } else { 0 },
        follow: !all,
        ..GetFlowsRequest::default()
    };
    put_frame(&mut message, |out| out.extend(request.encode_to_vec()));
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

/// µs of processor time per flow of a follow.
pub(crate) fn follow(count: u32, rate: f64, time: Duration) -> Result<f64> {
    let floor = Floor::start(
        count,
        Behaviour {
            rate,
            ..Behaviour::default()
        },
    )?;
    let began = Instant::now();
    while floor.peers.asked.load(Ordering::Relaxed) < count as usize {
        ensure!(
            began.elapsed() < PATIENCE,
            "the floor does not ask all peers"
        );
        std::thread::sleep(TURN);
    }
    std::thread::sleep(Duration::from_secs(1));
    let made = || floor.peers.made.load(Ordering::Relaxed);
    let (cpu_before, made_before) = (floor.process.cpu()?, made());
    std::thread::sleep(time);
    let cpu = floor.process.cpu()?.saturating_sub(cpu_before);
    Ok(cpu.as_secs_f64() * 1e6 / (made() - made_before) as f64)
}

/// The same of all that each peer holds.
pub(crate) fn all(count: u32, held: u64) -> Result<f64> {
    let floor = Floor::start(
        count,
        Behaviour {
            held,
            ..Behaviour::default()
        },
    )?;
    let began = Instant::now();
    let mut received = 0;
    loop {
        std::thread::sleep(SILENCE);
        let before = received;
        received = floor.received.load(Ordering::Relaxed);
        if received > 0 && received == before {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "the floor does not end");
    }
    let flows = u64::from(count) * held;
    let least = flows * SIZES[0] as u64;
    ensure!(received > least, "{received} bytes of {flows} flows");
    Ok(floor.process.cpu()?.as_secs_f64() * 1e6 / flows as f64)
}

/// The child, between peers and somebody who takes what it writes.
struct Floor {
    peers: Arc<Peers>,
    process: Running,
    /// Bytes that it wrote.
    received: Arc<AtomicU64>,
}

impl Floor {
    fn start(count: u32, behaviour: Behaviour) -> Result<Self> {
        let (peers, port) = Peers::start(count, behaviour)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (peers_text, port, to) = (
            count.to_string(),
            port.to_string(),
            listener.local_addr()?.to_string(),
        );
        let mut arguments = vec![
            "floor",
            "--peers",
            &peers_text,
            "--port",
            &port,
            "--to",
            &to,
        ];
        if behaviour.held > 0 {
            arguments.push("--all");
        }
        let process = Running::start(&arguments, Stdio::null())?;
        let (mut sink, _) = listener.accept()?;
        let received = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&received);
        std::thread::spawn(move || {
            let mut bytes = vec![0; LOT];
            // It ends with the child.
            while let Ok(read @ 1..) = sink.read(&mut bytes) {
                counted.fetch_add(read as u64, Ordering::Relaxed);
            }
        });
        Ok(Self {
            peers,
            process,
            received,
        })
    }
}

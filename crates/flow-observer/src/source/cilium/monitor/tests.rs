//! A socket that sends what an agent sent, see `tests/data/gob/README.md`, and worse.

use std::{io::Write as _, os::unix::net::UnixListener};

use super::*;

const STREAM: &[u8] = include_bytes!("../../../../tests/data/gob/monitor_stream.gob");
/// Where the first value and the definition before it end.
const FIRST_MESSAGES: usize = 57 + 30;
const PATIENCE: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    Record { cpu: u32, first: u8, len: usize },
    Lost { cpu: u32, count: u64 },
    Failure(String),
}

fn failure(kind: &str) -> Seen {
    Seen::Failure(kind.to_owned())
}

fn note(raw: &RawEvent<'_>) -> Seen {
    match *raw {
        RawEvent::Cilium { cpu, bytes } => Seen::Record {
            cpu,
            first: bytes[0],
            len: bytes.len(),
        },
        RawEvent::Lost { cpu, count } => Seen::Lost { cpu, count },
        ref other => panic!("{other:?}"),
    }
}

fn whole_stream() -> Vec<Seen> {
    vec![
        Seen::Record {
            cpu: 1,
            first: 2,
            len: 20,
        },
        Seen::Lost { cpu: 3, count: 300 },
        Seen::Record {
            cpu: 0,
            first: 130,
            len: 83 + 1,
        },
        Seen::Record {
            cpu: 0,
            first: 4,
            len: 300,
        },
    ]
}

/// Polls once; a failure shows as the last event.
fn poll(source: &mut MonitorSocket, limit: usize, seen: &mut Vec<Seen>) {
    let before = source.failures.clone();
    source
        .poll(PATIENCE, limit, &mut |raw| seen.push(note(&raw)))
        .unwrap();
    let new = source
        .failures
        .iter()
        .find(|(kind, count)| before.get(*kind) != Some(count));
    seen.extend(new.map(|(kind, _)| failure(kind)));
}

/// An agent that writes one part per connection and closes it; and what a reader made of that.
fn read_parts(parts: Vec<Vec<Vec<u8>>>, limit: usize, enough: usize) -> Vec<Seen> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("monitor.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let agent = thread::spawn(move || {
        for part in parts {
            let (mut stream, _) = listener.accept().unwrap();
            for piece in part {
                stream.write_all(&piece).unwrap();
                stream.flush().unwrap();
                thread::yield_now();
            }
        }
    });
    let mut source = MonitorSocket::new(&path);
    let mut seen = Vec::new();
    let begun = Instant::now();
    while seen.len() < enough {
        assert!(begun.elapsed() < DEADLINE, "{seen:?}");
        let before = seen.len();
        poll(&mut source, limit, &mut seen);
        assert!(seen.len() - before <= limit + 1);
    }
    agent.join().unwrap();
    seen
}

#[test]
fn records_and_losses_are_handed_out_in_order() {
    let mut seen = read_parts(vec![vec![STREAM.to_vec()]], 1024, 5);
    assert_eq!(seen.pop(), Some(failure("closed")));
    assert_eq!(seen, whole_stream());
}

#[test]
fn no_more_events_than_asked_for_are_handed_out_at_once() {
    let seen = read_parts(vec![vec![STREAM.to_vec()]], 1, 5);
    assert_eq!(seen[..4], whole_stream());
}

#[test]
fn a_message_may_come_in_any_number_of_pieces() {
    for size in [1, 2, 7, 64, 199] {
        let pieces = STREAM.chunks(size).map(<[u8]>::to_vec).collect();
        let seen = read_parts(vec![pieces], 1024, 5);
        assert_eq!(seen[..4], whole_stream(), "pieces of {size}");
    }
}

#[test]
fn a_connection_that_is_cut_within_a_message_is_made_again_and_starts_anew() {
    let cut = STREAM[..FIRST_MESSAGES + 5].to_vec();
    let seen = read_parts(vec![vec![cut], vec![STREAM.to_vec()]], 1024, 7);
    assert_eq!(seen[0], whole_stream()[0]);
    assert_eq!(seen[1], failure("closed"));
    assert_eq!(seen[2..6], whole_stream());
    assert_eq!(seen[6], failure("closed"));
}

#[test]
fn a_stream_that_is_no_gob_is_left_at_once_and_tried_again() {
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(8);
    let endless = vec![0xf8, 1, 0, 0, 0, 0, 0, 0, 0];
    let seen = read_parts(
        vec![vec![http], vec![endless], vec![STREAM.to_vec()]],
        1024,
        6,
    );
    assert!(
        matches!(&seen[0], Seen::Failure(kind) if kind.starts_with("gob_")),
        "{seen:?}"
    );
    assert_eq!(seen[1], failure("gob_too_long"));
    assert_eq!(seen[2..6], whole_stream());
}

#[test]
fn a_record_longer_than_the_buffer_arrives_whole() {
    // The stream's own definitions, and a sample of 200,000 bytes: Data and Type.
    let mut stream = STREAM[..FIRST_MESSAGES].to_vec();
    let mut message = vec![0xff, 0xa6, 1, 0xfd, 3, 0x0d, 0x40];
    message.extend([7; 200_000]);
    message.extend([3, 18, 0]);
    stream.push(0xfd);
    stream.extend(&(message.len() as u32).to_be_bytes()[1..]);
    stream.extend(message);
    let seen = read_parts(vec![vec![stream]], 1024, 3);
    let long = Seen::Record {
        cpu: 0,
        first: 7,
        len: 200_000,
    };
    assert_eq!(seen[1..2], [long]);
}

#[test]
fn an_agent_that_is_not_there_is_waited_for_and_each_attempt_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = MonitorSocket::new(&folder.path().join("nobody.sock"));
    let mut seen = Vec::new();
    let begun = Instant::now();
    while seen.len() < 2 {
        assert!(begun.elapsed() < DEADLINE);
        poll(&mut source, 1, &mut seen);
    }
    assert_eq!(seen, [failure("unreachable"), failure("unreachable")]);
    let counts: Vec<_> = source.counts();
    assert_eq!(
        (counts[0].what, counts[0].count),
        ("monitor_connections", 0)
    );
    assert_eq!((counts[1].what, counts[1].count), ("monitor_failures", 2));
    assert!(begun.elapsed() >= FIRST_RETRY / 2, "no pause in between");
    assert!(source.retry_after > FIRST_RETRY);
}

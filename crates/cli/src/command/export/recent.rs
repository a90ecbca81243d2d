//! Which flows and gaps were received last, so that those that come again after a break are known.
//!
//! In: flows as they come, and at the start the end of the file that they were written to. Out: from
//! when on to ask, and whether a flow is there already.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use anyhow::Context as _;
use flow_api::{
    flow::Flow,
    json,
    observer::{ExportEvent, export_event::ResponseTypes},
};
use prost_types::Timestamp;

/// Flows of several nodes are not quite in order: after a break, so much is asked for again. A relay
/// holds flows back for a second, and tells later ones out of order.
const OVERLAP_NS: i64 = 5_000_000_000;
/// Most flows that are known: 50,000 a second for [`OVERLAP_NS`], 4 MB. Where there are more, less is
/// asked for again.
const MOST_KNOWN: usize = 262_144;
/// So much of the end of a file is read at the start: the flows of five seconds on a busy cluster.
const TAIL_BYTES: u64 = 32 << 20;

/// The flows of the last seconds.
#[derive(Debug)]
pub(super) struct Recent {
    /// Whether lines have times, and uuids.
    keeps_time: bool,
    keeps_uuid: bool,
    hasher: RandomState,
    /// Time and key, as they came.
    known: VecDeque<(i64, u64)>,
    newest_ns: Option<i64>,
    /// No flow is known any more that is not newer.
    floor_ns: i64,
    /// Those that may come again, and how often.
    expected: HashMap<u64, u32>,
}

impl Recent {
    /// Nothing was received. The mask is that of the lines.
    pub(super) fn new(mask: &[String]) -> Self {
        let keeps = |field: &str| mask.is_empty() || mask.iter().any(|path| path == field);
        Self {
            keeps_time: keeps("time"),
            keeps_uuid: keeps("uuid"),
            hasher: RandomState::new(),
            known: VecDeque::new(),
            newest_ns: None,
            floor_ns: i64::MIN,
            expected: HashMap::new(),
        }
    }

    /// What the end of a file tells; a file that is not there tells nothing.
    pub(super) fn of_file(path: &Path, mask: &[String]) -> anyhow::Result<Self> {
        let mut recent = Self::new(mask);
        let (text, is_whole) = match tail(path) {
            Ok(tail) => tail,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(recent),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let mut oldest_ns = None;
        for line in text.lines() {
            let Ok(event) = json::from_str::<ExportEvent>(line) else {
                continue;
            };
            let line_key = recent.hasher.hash_one(line.as_bytes());
            match (event.response_types, event.time) {
                (Some(ResponseTypes::Flow(flow)), _) => {
                    if let Some(time) = flow.time {
                        let key = match flow.uuid.as_str() {
                            "" => line_key,
                            uuid => recent.hasher.hash_one(uuid),
                        };
                        oldest_ns = oldest_ns.or(Some(nanoseconds(time)));
                        recent.note(nanoseconds(time), key);
                    }
                }
                (Some(ResponseTypes::LostEvents(_)), Some(time)) => {
                    recent.remember(nanoseconds(time), line_key);
                }
                _ => {}
            }
        }
        if !is_whole {
            recent.floor_ns = recent.floor_ns.max(oldest_ns.unwrap_or(i64::MIN));
        }
        Ok(recent)
    }

    /// Whether a restart can tell from the file where to go on.
    pub(super) fn tells_times(&self) -> bool {
        self.keeps_time
    }

    /// The time of the newest flow.
    pub(super) fn newest_ns(&self) -> Option<i64> {
        self.newest_ns
    }

    /// A new connection begins: from when on to ask. What comes then is compared with what is known.
    pub(super) fn resume(&mut self) -> Option<i64> {
        let newest_ns = self.newest_ns?;
        let since_ns = (newest_ns - OVERLAP_NS).max(self.floor_ns.saturating_add(1));
        self.expected.clear();
        for (time_ns, key) in &self.known {
            if *time_ns >= since_ns {
                *self.expected.entry(*key).or_default() += 1;
            }
        }
        Some(since_ns)
    }

    /// Takes a flow; says whether it is new.
    pub(super) fn take(&mut self, flow: &Flow, line: impl FnOnce() -> Vec<u8>) -> bool {
        let Some(time) = flow.time else { return true };
        let key = match flow.uuid.as_str() {
            uuid if self.keeps_uuid && !uuid.is_empty() => self.hasher.hash_one(uuid),
            _ => self.hasher.hash_one(line().as_slice()),
        };
        let is_new = !self.is_again(key);
        if is_new {
            self.note(nanoseconds(time), key);
        }
        is_new
    }

    /// Takes a gap; says whether it is new. Its time is that at which it was told: older flows may follow
    /// it.
    pub(super) fn take_gap(&mut self, time: Option<Timestamp>, line: &[u8]) -> bool {
        let Some(time) = time else { return true };
        let key = self.hasher.hash_one(line);
        let is_new = !self.is_again(key);
        if is_new {
            self.remember(nanoseconds(time), key);
        }
        is_new
    }

    fn is_again(&mut self, key: u64) -> bool {
        let Some(count) = self.expected.get_mut(&key) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.expected.remove(&key);
        }
        true
    }

    fn note(&mut self, time_ns: i64, key: u64) {
        let newest_ns = self.newest_ns.map_or(time_ns, |newest| newest.max(time_ns));
        self.newest_ns = Some(newest_ns);
        self.remember(time_ns, key);
    }

    fn remember(&mut self, time_ns: i64, key: u64) {
        self.known.push_back((time_ns, key));
        let needed_ns = self.newest_ns.map_or(i64::MIN, |it| it - OVERLAP_NS);
        while let Some(&(oldest_ns, _)) = self.known.front() {
            if oldest_ns >= needed_ns && self.known.len() <= MOST_KNOWN {
                break;
            }
            self.known.pop_front();
            self.floor_ns = self.floor_ns.max(oldest_ns);
        }
    }
}

/// The end of a file from a line's beginning on, and whether that is all of it.
fn tail(path: &Path) -> io::Result<(String, bool)> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok((String::new(), true));
    }
    let start = metadata.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = match start {
        0 => &*text,
        _ => text.split_once('\n').map_or("", |(_, rest)| rest),
    };
    Ok((text.to_owned(), start == 0))
}

/// Nanoseconds since 1970.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    let ns = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(seconds: i64, uuid: &str) -> Flow {
        Flow {
            time: Some(Timestamp { seconds, nanos: 0 }),
            uuid: uuid.to_owned(),
            ..Flow::default()
        }
    }

    fn take(recent: &mut Recent, flow: &Flow) -> bool {
        recent.take(flow, || json::to_string(flow).into_bytes())
    }

    #[test]
    fn what_comes_again_is_known_and_as_often_as_it_was_there() {
        let mut recent = Recent::new(&[]);
        assert_eq!(recent.resume(), None);
        // Without uuids, equal flows are told apart by how many there are.
        for flow in [flow(100, "a"), flow(101, ""), flow(101, ""), flow(99, "b")] {
            assert!(take(&mut recent, &flow));
        }
        assert_eq!(recent.resume(), Some(96_000_000_000));
        let again = [
            flow(99, "b"),
            flow(101, ""),
            flow(98, "late"),
            flow(101, ""),
            flow(101, ""),
        ];
        let news = again.map(|flow| take(&mut recent, &flow));
        assert_eq!(news, [false, false, true, false, true]);
    }

    #[test]
    fn gaps_do_not_come_again_and_say_nothing_of_where_to_go_on() {
        let mut recent = Recent::new(&[]);
        let told = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert!(take(&mut recent, &flow(100, "a")));
        assert!(recent.take_gap(told(104), b"three"));
        assert_eq!(recent.resume(), Some(95_000_000_000));
        assert!(!recent.take_gap(told(104), b"three"));
        assert!(recent.take_gap(told(104), b"three"));
        assert!(recent.take_gap(told(103), b"two"));
    }

    #[test]
    fn a_restart_knows_what_the_file_ends_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.log");
        assert_eq!(Recent::of_file(&path, &[]).unwrap().newest_ns(), None);
        let line = |flow: &Flow| {
            let event = ExportEvent {
                response_types: Some(ResponseTypes::Flow(flow.clone())),
                ..ExportEvent::default()
            };
            json::to_string(&event) + "\n"
        };
        let lines: String = (0..20).map(|n| line(&flow(n, &format!("u{n}")))).collect();
        std::fs::write(&path, format!("{lines}{{\"flow\":{{\"ti")).unwrap();
        let mut recent = Recent::of_file(&path, &[]).unwrap();
        assert_eq!(recent.resume(), Some(14_000_000_000));
        assert!(!take(&mut recent, &flow(14, "u14")));
        assert!(!take(&mut recent, &flow(19, "u19")));
        assert!(take(&mut recent, &flow(19, "other")));
    }
}

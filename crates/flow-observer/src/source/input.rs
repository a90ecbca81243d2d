//! Bytes of a file, a pipe or standard input, compressed by gzip or not.
//!
//! A regular file is read when more is needed. Anything else may keep its reader waiting for as
//! long as it likes, so a thread of its own reads it: whoever asks for more never waits longer than
//! it said.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::Duration,
};

use flate2::read::MultiGzDecoder;

/// What is read at once: enough that a read costs nothing next to what is done with its bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks that were read and not yet asked for. When full, the reading thread waits, and so does
/// whoever writes into the pipe.
const CHUNKS_WAITING: usize = 4;

/// How a path is called in messages.
pub(super) fn name(path: &Path) -> String {
    if is_standard_input(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads from one end to the other.
pub(super) struct Input {
    origin: Origin,
    /// What was read, from `start` on not yet consumed.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes before those that are buffered; after decompression, if any.
    offset: u64,
    /// Bytes that nobody wants and that are still to come.
    to_skip: u64,
}

enum Origin {
    File(Box<dyn Read + Send>),
    /// From the reading thread; closed at the end of the input. The thread ends when this is
    /// dropped, as soon as it gets something more to read.
    Thread(Receiver<io::Result<Vec<u8>>>),
}

/// What came of asking for more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Filled {
    /// There is more.
    More,
    /// Nothing yet.
    NothingYet,
    /// Nothing, ever.
    End,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let origin = if is_standard_input(path) {
            in_a_thread(io::stdin())?
        } else {
            let file = File::open(path)?;
            let kind = file.metadata()?.file_type();
            if kind.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            } else if kind.is_file() {
                Origin::File(decompressed(file)?)
            } else {
                in_a_thread(file)?
            }
        };
        Ok(Self::new(origin))
    }

    fn new(origin: Origin) -> Self {
        Self {
            origin,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            to_skip: 0,
        }
    }

    /// Bytes that are already there.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self::new(Origin::File(Box::new(io::Cursor::new(bytes))))
    }

    /// Whether asking for more never waits.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.origin, Origin::File(_))
    }

    /// What was read and not yet consumed.
    pub(super) fn buffered(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// How many bytes came before [`Self::buffered`].
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on behind the next `len` bytes, whether they were read already or not.
    pub(super) fn consume(&mut self, len: u64) {
        let buffered = self.buffered().len();
        let here = usize::try_from(len).unwrap_or(usize::MAX).min(buffered);
        self.start += here;
        self.offset += here as u64;
        self.to_skip += len - here as u64;
    }

    /// Whether bytes that were consumed are missing: the input ended before.
    pub(super) fn lacks_consumed(&self) -> bool {
        self.to_skip > 0
    }

    /// Reads more, behind what is buffered.
    pub(super) fn fill(&mut self, patience: Duration) -> io::Result<Filled> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        match &mut self.origin {
            Origin::File(file) => {
                self.buffer.resize(before + CHUNK_BYTES, 0);
                let read = read(file, self.buffer.get_mut(before..).unwrap_or_default());
                self.buffer
                    .truncate(before + read.as_ref().copied().unwrap_or(0));
                if read? == 0 {
                    return Ok(Filled::End);
                }
            }
            Origin::Thread(chunks) => match chunks.recv_timeout(patience) {
                Ok(chunk) => self.buffer.extend_from_slice(&chunk?),
                Err(RecvTimeoutError::Timeout) => return Ok(Filled::NothingYet),
                Err(RecvTimeoutError::Disconnected) => return Ok(Filled::End),
            },
        }
        let skip = std::mem::take(&mut self.to_skip);
        self.consume(skip);
        Ok(Filled::More)
    }
}

fn in_a_thread(input: impl Read + Send + 'static) -> io::Result<Origin> {
    let (chunks, receiver) = mpsc::sync_channel(CHUNKS_WAITING);
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || pass_on(input, &chunks))?;
    Ok(Origin::Thread(receiver))
}

/// Reads to the end, or until nobody listens any more.
fn pass_on(input: impl Read + Send + 'static, chunks: &SyncSender<io::Result<Vec<u8>>>) {
    let mut input = match decompressed(input) {
        Ok(input) => input,
        Err(error) => {
            // Who does not listen does not miss it.
            chunks.send(Err(error)).ok();
            return;
        }
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let next = match read(&mut input, &mut chunk) {
            Ok(0) => return,
            Ok(len) => Ok(chunk.get(..len).unwrap_or_default().to_vec()),
            Err(error) => Err(error),
        };
        let is_last = next.is_err();
        if chunks.send(next).is_err() || is_last {
            return;
        }
    }
}

/// What gzip packed, unpacked; anything else as it is.
fn decompressed(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut head = Vec::new();
    (&mut input)
        .take(GZIP.len() as u64)
        .read_to_end(&mut head)?;
    let is_packed = head == GZIP;
    let whole = io::Cursor::new(head).chain(input);
    Ok(if is_packed {
        Box::new(MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}

fn read(input: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn all(mut input: Input) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            all.extend_from_slice(input.buffered());
            input.consume(input.buffered().len() as u64);
            match input.fill(PATIENCE).unwrap() {
                Filled::More => {}
                Filled::NothingYet => panic!("nothing within {PATIENCE:?}"),
                Filled::End => return all,
            }
        }
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn a_file_is_read_whole_packed_or_not() {
        let bytes: Vec<u8> = (0..700_000u32).map(|n| (n / 3) as u8).collect();
        // Two packed files, one after the other, are one packed file.
        let (first, second) = bytes.split_at(300_000);
        for stored in [bytes.clone(), [packed(first), packed(second)].concat()] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&stored).unwrap();
            let path = file.path().to_str().unwrap().to_owned();
            assert!(all(Input::open(path.as_ref()).unwrap()) == bytes);
            let thread = in_a_thread(File::open(&path).unwrap()).unwrap();
            assert!(all(Input::new(thread)) == bytes);
        }
    }

    #[test]
    fn an_input_that_has_nothing_yet_does_not_hold_its_reader_up() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut input = Input::new(in_a_thread(reader).unwrap());
        let brief = Duration::from_millis(1);
        assert_eq!(input.fill(brief).unwrap(), Filled::NothingYet);
        writer.write_all(b"abc").unwrap();
        assert_eq!(input.fill(PATIENCE).unwrap(), Filled::More);
        drop(writer);
        while input.fill(PATIENCE).unwrap() != Filled::End {}
        assert_eq!(input.buffered(), b"abc");
    }

    #[test]
    fn what_is_consumed_may_still_be_to_come() {
        let mut input = Input::of((0..=9).collect());
        input.consume(4);
        input.fill(PATIENCE).unwrap();
        assert_eq!(
            (input.buffered(), input.offset()),
            (&[4, 5, 6, 7, 8, 9][..], 4)
        );
        input.consume(20);
        assert!(input.lacks_consumed());
        assert_eq!(input.fill(PATIENCE).unwrap(), Filled::End);
    }
}

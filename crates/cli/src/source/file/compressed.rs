//! What gzip or zstd packed, unpacked: told by how it begins, not by its name.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The first frame may be one to be skipped: 0x184d2a50 to 0x184d2a5f, the lowest byte first.
const ZSTD_SKIPPED: &[u8] = &[0x2a, 0x4d, 0x18];

/// What is read at once of packed bytes.
const READ_BYTES: usize = 64 * 1024;

/// How a file is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Packing {
    Gzip,
    Nothing,
    Zstd,
}

/// A reader of what `input` holds, and whether that was packed. All members of a file are read, as
/// of files that were appended to each other.
pub(super) fn unpacked(
    mut input: impl Read + Send + 'static,
) -> io::Result<(Box<dyn Read + Send>, bool)> {
    let mut head = Vec::new();
    let packing = loop {
        if let Some(packing) = packing(&head) {
            break packing;
        }
        // Byte by byte: somebody may type, and text shows itself by the first one.
        if (&mut input).take(1).read_to_end(&mut head)? == 0 {
            break Packing::Nothing;
        }
    };
    let whole = io::Cursor::new(head).chain(input);
    Ok(match packing {
        Packing::Nothing => (Box::new(whole), false),
        Packing::Gzip => {
            let packed = BufReader::with_capacity(READ_BYTES, whole);
            (Box::new(MultiGzDecoder::new(packed)), true)
        }
        Packing::Zstd => (
            Box::new(Frames {
                packed: BufReader::with_capacity(READ_BYTES, whole),
                decoder: FrameDecoder::new(),
                is_within: false,
            }),
            true,
        ),
    })
}

/// How something is packed that begins like this; `None` if more must be seen.
fn packing(head: &[u8]) -> Option<Packing> {
    let begins = |magic: &[u8]| head.iter().zip(magic).all(|(seen, magic)| seen == magic);
    let skipped = match head {
        [] => return None,
        [0x50..=0x5f, rest @ ..] => rest.iter().zip(ZSTD_SKIPPED).all(|(a, b)| a == b),
        _ => false,
    };
    if begins(GZIP) {
        (head.len() >= GZIP.len()).then_some(Packing::Gzip)
    } else if begins(ZSTD) || skipped {
        (head.len() >= ZSTD.len()).then_some(Packing::Zstd)
    } else {
        Some(Packing::Nothing)
    }
}

/// The frames of a zstd file, one after the other.
struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    /// A frame was begun and is not read to its end.
    is_within: bool,
}

impl<R: BufRead> Frames<R> {
    /// Begins the next frame; says no at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.packed) {
                Ok(()) => {
                    self.is_within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.packed).take(length.into());
                    io::copy(&mut skipped, &mut io::sink())?;
                }
                Err(_) => return Err(damaged()),
            }
        }
        Ok(false)
    }

    fn end(&mut self) -> io::Result<()> {
        self.is_within = false;
        let told = self.decoder.get_checksum_from_data();
        if told.is_some() && told != self.decoder.get_calculated_checksum() {
            return Err(damaged());
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|_| damaged())?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.end()?;
        }
    }
}

/// The decoder's own words are for its authors.
fn damaged() -> io::Error {
    let text = "what zstd packed is damaged or cut off";
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn read(packed: Vec<u8>) -> io::Result<(String, bool)> {
        let (mut input, was_packed) = unpacked(io::Cursor::new(packed))?;
        let mut text = String::new();
        input.read_to_string(&mut text)?;
        Ok((text, was_packed))
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// A frame of one raw block, of a single segment and without a checksum (RFC 8878 section 3.1.1).
    fn zstd(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        let block = (u32::from(length) << 3 | 1).to_le_bytes();
        [ZSTD, &[0x20, length], &block[..3], text.as_bytes()].concat()
    }

    #[test]
    fn text_is_read_as_it_is_however_short() {
        for text in ["", "{", "{}\n", "\x1f", "(", "P"] {
            assert_eq!(read(text.into()).unwrap(), (text.to_owned(), false));
        }
    }

    #[test]
    fn all_members_of_a_file_are_read() {
        let expected = ("one\ntwo\n".to_owned(), true);
        assert_eq!(
            read([gzip("one\n"), gzip("two\n")].concat()).unwrap(),
            expected
        );
        let skipped = [&[0x5a], ZSTD_SKIPPED, &[3, 0, 0, 0], b"abc"].concat();
        let frames = [skipped.clone(), zstd("one\n"), skipped, zstd("two\n")];
        assert_eq!(read(frames.concat()).unwrap(), expected);
    }

    #[test]
    fn damage_is_an_error() {
        let cut = |mut packed: Vec<u8>| {
            packed.truncate(packed.len() - 2);
            read(packed)
        };
        assert!(cut(gzip("one\n")).is_err());
        assert!(cut(zstd("one\n")).is_err());
    }
}

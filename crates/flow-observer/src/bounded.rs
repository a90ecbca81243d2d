//! Reading files that others write: never more than a bound.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// The text of a file of at most `max_bytes`; `None` if it is longer. The size that a file tells is
/// not asked: pipes have none, and files grow.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(max_bytes.saturating_add(1))
        .read_to_string(&mut text)?;
    Ok((read as u64 <= max_bytes).then_some(text))
}

/// The text of a plain file, what is no text replaced. `None` where there is none, or more than
/// `max_bytes` in it.
pub(crate) fn read_plain(path: &Path, max_bytes: u64) -> Option<String> {
    // Before opening it: a pipe would wait for a writer.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    let read = file.take(max_bytes + 1).read_to_end(&mut bytes).ok()?;
    (read as u64 <= max_bytes).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

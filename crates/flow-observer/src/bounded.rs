//! Reading files that others write: never more than a bound, never anything but a plain file.

use std::{fs::File, io::Read as _, path::Path};

/// The text of a file, what is no text replaced. `None` where there is no plain file, or more than
/// `max_bytes` in it.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Option<String> {
    // Before opening it: a pipe would wait for a writer.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    let read = file.take(max_bytes + 1).read_to_end(&mut bytes).ok()?;
    (read as u64 <= max_bytes).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

//! Where pages go: standard output and standard error.

use std::io::{self, Write as _};

use super::Page;
use crate::observe::record::Recorder;
use crate::progress::Progress;

/// Text is written once there is this much of it, or earlier when there is nothing else to do:
/// large enough that system calls do not show, small enough to stay in a cache.
const PAGE_BYTES: usize = 64 * 1024;

/// Standard output and standard error, and the page that is being filled for them.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// What is not written yet.
    pub(crate) page: Page,
    /// Drops what would go to standard error.
    silent: bool,
    recorder: Option<Recorder>,
    /// What is drawn there meanwhile.
    pub(crate) progress: Progress,
}

impl Screen {
    /// A screen; a `silent` one says nothing on standard error.
    pub(crate) fn new(silent: bool) -> Self {
        Self {
            page: Page::default(),
            silent,
            recorder: None,
            progress: Progress::default(),
        }
    }

    /// Saves what is shown as well.
    pub(crate) fn record(&mut self, recorder: Option<Recorder>) {
        self.page.saved = recorder.is_some().then(Vec::new);
        self.recorder = recorder;
    }

    /// To be called after each event: writes if there is much to write, or something about nodes,
    /// which must not come long after the flows around it.
    ///
    /// # Errors
    /// Standard output or error cannot be written.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        let saved = self.page.saved.as_ref().map_or(0, Vec::len);
        if self.page.out.len().max(saved) >= PAGE_BYTES || !self.page.err.is_empty() {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes all there is.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write(&self.page.out, &self.page.err)?;
        self.page.out.clear();
        self.page.err.clear();
        if let (Some(recorder), Some(saved)) = (&mut self.recorder, &mut self.page.saved) {
            recorder.save(saved)?;
            saved.clear();
        }
        Ok(())
    }

    /// Writes what stands on another page.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub(crate) fn write(&self, out: &[u8], err: &[u8]) -> io::Result<()> {
        if !out.is_empty() {
            self.progress.make_way();
            let mut stdout = io::stdout().lock();
            stdout.write_all(out)?;
            stdout.flush()?;
        }
        if !err.is_empty() && !self.silent {
            self.progress
                .suspend(|| io::stderr().lock().write_all(err))?;
        }
        Ok(())
    }

    /// Writes all there is, and ends what is recorded.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub(crate) fn finish(&mut self, is_well: bool) -> io::Result<()> {
        let shown = self.flush();
        if let Some(recorder) = &mut self.recorder {
            if let Some(saved) = &mut self.page.saved {
                recorder.save(saved)?;
                saved.clear();
            }
            recorder.finish(is_well)?;
        }
        shown
    }
}

/// Whether an error means that nobody reads our output any more, as after `| head`.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

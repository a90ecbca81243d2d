//! Where the lines of an exporter go, and what happens when they cannot: the trouble is told once,
//! counted, and the write tried again for as long as it takes.

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::{info, warn};

use super::{
    counts::ExporterCounts,
    fault::{Fault, Standing},
    file::LogFile,
    spec::{Spec, SyncPolicy, Target},
};

/// Held while lines go to standard output: exporters do not write into each other's lines.
static STDOUT: Mutex<()> = Mutex::new(());

/// The target of an exporter, at work or in trouble.
#[derive(Debug)]
pub(super) struct Sink {
    name: String,
    target: Target,
    output: Output,
    counts: Arc<ExporterCounts>,
    trouble: Option<Standing>,
}

#[derive(Debug)]
enum Output {
    Stdout(File),
    File(Box<LogFile>),
}

impl Sink {
    /// Opens no file yet.
    pub(super) fn new(
        spec: &Spec,
        sync: SyncPolicy,
        counts: Arc<ExporterCounts>,
    ) -> io::Result<Self> {
        let output = match &spec.target {
            Target::Stdout => Output::Stdout(io::stdout().as_fd().try_clone_to_owned()?.into()),
            Target::File(path) => {
                let counts = Arc::clone(&counts);
                Output::File(Box::new(LogFile::new(path, spec.rotation, sync, counts)?))
            }
        };
        Ok(Self {
            name: spec.name.clone(),
            target: spec.target.clone(),
            output,
            counts,
            trouble: None,
        })
    }

    /// Writes lines and takes out those that were written, unless it is in trouble and the next
    /// attempt is not due.
    pub(super) fn append(&mut self, lines: &mut Vec<u8>) {
        if lines.is_empty() || !self.wait().unwrap_or_default().is_zero() {
            return;
        }
        let counts = &self.counts;
        let result = match &mut self.output {
            Output::Stdout(stdout) => write_all(stdout, lines, counts),
            Output::File(file) => file.append(lines),
        };
        self.note(result);
    }

    /// Does what is due although nothing is written.
    pub(super) fn tick(&mut self) {
        if let (Output::File(file), None) = (&mut self.output, &self.trouble)
            && let Err(fault) = file.tick()
        {
            self.note(Err(fault));
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn due(&self) -> Option<Duration> {
        match &self.output {
            Output::File(file) => file.due(),
            Output::Stdout(_) => None,
        }
    }

    /// How long it is to the next attempt; `None` if it is not in trouble.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.trouble.as_ref().map(Standing::wait)
    }

    /// Why events are lost that leave the ring now.
    pub(super) fn reason(&self) -> &'static str {
        self.trouble
            .as_ref()
            .map_or("overtaken", |trouble| trouble.kind)
    }

    /// Nothing more will come: one last attempt, due or not.
    pub(super) fn finish(&mut self, lines: &mut Vec<u8>) {
        let before = self.trouble.take();
        self.append(lines);
        if self.trouble.is_none() {
            self.trouble = before.filter(|_| !lines.is_empty());
        }
        if let Output::File(file) = &mut self.output {
            file.finish();
        }
    }

    fn note(&mut self, result: Result<(), Fault>) {
        let (exporter, target) = (&self.name, &self.target);
        match result {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    self.counts.recovered();
                    info!(exporter, %target, "exporting again");
                }
            }
            Err(fault) => {
                let kind = fault.kind();
                self.counts.failed(kind, fault.to_string());
                if self
                    .trouble
                    .as_ref()
                    .is_none_or(|before| before.kind != kind)
                {
                    warn!(exporter, %target, error = %fault, "cannot export: trying again");
                }
                self.trouble = Some(Standing::after(self.trouble.as_ref(), kind));
            }
        }
    }
}

/// Writes to a stream, from which nothing can be taken back: the rest of a line waits.
fn write_all(stream: &mut File, lines: &mut Vec<u8>, counts: &ExporterCounts) -> Result<(), Fault> {
    let _alone = STDOUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut written = 0;
    let error = loop {
        match stream.write(&lines[written..]) {
            Ok(0) => break Some(io::Error::from(ErrorKind::WriteZero)),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Some(error),
        }
        if written == lines.len() {
            break None;
        }
    };
    let done = &lines[..written];
    let ends = done.iter().filter(|&&byte| byte == b'\n').count();
    counts.wrote(done, ends as u64);
    lines.drain(..written);
    error.map_or(Ok(()), |error| Err(Fault::of("write")(error)))
}

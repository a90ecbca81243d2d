//! Flows of files to standard output: the workers print, each its block, and the pages are written in
//! order.

use std::{collections::VecDeque, io, sync::Arc};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    blocks::Block,
    line::{LineReader, Warning},
    places::{Place, Places},
    workers::Step,
};
use crate::print::{Page, Printer, Screen};
use crate::source::selection::{Count, Wanted};

/// What was printed of a block.
pub(super) struct Printed {
    page: Page,
    marks: Vec<Mark>,
    place: Place,
}

/// Something ends here in the page.
struct Mark {
    out: usize,
    err: usize,
    what: What,
}

enum What {
    /// A response. Marked if responses are counted, or if something goes to standard error, so that
    /// what was printed before it is written before.
    Response,
    /// A warning about the line with this number in the block.
    Warning(u64, Box<Warning>),
}

/// What a worker prints with.
pub(super) struct Press {
    pub(super) reader: Arc<LineReader>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) printer: Box<dyn Printer + Send>,
    /// Every response is marked.
    pub(super) marks_all: bool,
}

impl Press {
    pub(super) fn print(&mut self, block: &Block) -> Printed {
        let mut page = Page::default();
        let mut marks = Vec::new();
        let mut lines = 0;
        for line in block.lines() {
            lines += 1;
            let mut mark = |page: &Page, what| {
                marks.push(Mark {
                    out: page.out.len(),
                    err: page.err.len(),
                    what,
                });
            };
            let line = match self.reader.read(line) {
                Ok(line) => line,
                Err(warning) => {
                    mark(&page, What::Warning(lines, warning.into()));
                    continue;
                }
            };
            if let Some(warning) = line.warning {
                mark(&page, What::Warning(lines, warning.into()));
            }
            if !self.wanted.contain(&line.response) {
                continue;
            }
            let err = page.err.len();
            match line.json {
                Some(json) => self.printer.flows_in_json(&line.response, json, &mut page),
                None => self.printer.flows(&line.response, &mut page),
            }
            if self.marks_all || page.err.len() > err {
                mark(&page, What::Response);
            }
        }
        let place = Place::new(block, lines);
        Printed { page, marks, place }
    }
}

/// Writes what the workers print, until its end or a signal.
pub(super) async fn write(
    mut steps: mpsc::Receiver<Step<Printed>>,
    mut writer: Writer,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let Some(step) = shutdown.run_until_cancelled(steps.recv()).await else {
            return Ok(());
        };
        match step {
            Some(Step::Done(printed)) => writer.take(printed)?,
            Some(Step::CaughtUp) => writer.finish()?,
            Some(Step::End) => return Ok(writer.finish()?),
            Some(Step::Failed(error)) => {
                writer.finish()?;
                return Err(error);
            }
            None => anyhow::bail!("a thread that reads ended early"),
        }
        if writer.is_complete() {
            return Ok(());
        }
    }
}

/// Standard output, and how much of what is printed goes there.
pub(super) struct Writer {
    screen: Screen,
    count: Count,
    reader: Arc<LineReader>,
    places: Places,
    /// Where the last responses are wanted: pages with the latest ones so far, and how many
    /// responses of them are too old.
    kept: VecDeque<Printed>,
    kept_responses: usize,
}

impl Writer {
    pub(super) fn new(
        screen: Screen,
        count: Count,
        reader: Arc<LineReader>,
        places: Places,
    ) -> Self {
        Self {
            screen,
            count,
            reader,
            places,
            kept: VecDeque::new(),
            kept_responses: 0,
        }
    }

    fn is_complete(&self) -> bool {
        self.count == Count::First(0)
    }

    fn take(&mut self, mut printed: Printed) -> io::Result<()> {
        let (name, lines_before) = self.places.count(printed.place);
        let Count::Last(most) = self.count else {
            return self.write(&printed, 0, |reader, line, warning| {
                reader.log(warning, &name, lines_before + line);
            });
        };
        for mark in &printed.marks {
            if let What::Warning(line, warning) = &mark.what {
                self.reader.log(warning, &name, lines_before + line);
            }
        }
        printed
            .marks
            .retain(|mark| matches!(mark.what, What::Response));
        if printed.marks.is_empty() {
            return Ok(());
        }
        printed.page.out.shrink_to_fit();
        self.kept_responses += printed.marks.len();
        self.kept.push_back(printed);
        while let Some(first) = self.kept.front() {
            if self.kept_responses - first.marks.len() < most {
                break;
            }
            self.kept_responses -= first.marks.len();
            self.kept.pop_front();
        }
        Ok(())
    }

    /// All were seen: the last ones are known. What comes after them is shown as it comes.
    fn finish(&mut self) -> io::Result<()> {
        if let Count::Last(most) = self.count {
            self.count = Count::All;
            let mut skipped = self.kept_responses.saturating_sub(most);
            for printed in std::mem::take(&mut self.kept) {
                self.write(&printed, skipped, |_, _, _| {})?;
                skipped = 0;
            }
            self.kept_responses = 0;
        }
        Ok(())
    }

    /// Writes a page, but for the first responses, and as many as are missing.
    fn write(
        &mut self,
        printed: &Printed,
        skipped: usize,
        warn: impl Fn(&LineReader, u64, &Warning),
    ) -> io::Result<()> {
        let Printed { page, marks, .. } = printed;
        let (mut out, mut err) = match skipped.checked_sub(1).and_then(|last| marks.get(last)) {
            Some(mark) => (mark.out, mark.err),
            None => (0, 0),
        };
        for mark in marks.iter().skip(skipped) {
            let is_last = match (&mark.what, &mut self.count) {
                (What::Response, Count::First(missing)) => {
                    *missing = missing.saturating_sub(1);
                    *missing == 0
                }
                _ => false,
            };
            let is_warning = matches!(mark.what, What::Warning(..));
            if is_last || is_warning || mark.err > err {
                self.screen
                    .write(&page.out[out..mark.out], &page.err[err..mark.err])?;
                (out, err) = (mark.out, mark.err);
            }
            if let What::Warning(line, warning) = &mark.what {
                warn(&self.reader, *line, warning);
            }
            if is_last {
                return Ok(());
            }
        }
        self.screen.write(&page.out[out..], &page.err[err..])
    }
}

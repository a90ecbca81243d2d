//! Which flows to try a configuration on: what was typed.

use std::time::Duration;

use flow_observer::metrics::flows::DEFAULT_SERIES_BUDGET;

use crate::{
    command::duration,
    flags::{
        Accept, Flag, Section, ValueError,
        value::{self, Base},
    },
    observe::args::Args as ObserveArgs,
};

/// The flags of `metrics plan`.
pub(crate) const SECTION: Section = Section {
    heading: "Plan Flags",
    flags: &[
        Flag::value(
            "first",
            "N",
            "Try the oldest N flows; of each node when a relay is asked",
        ),
        Flag::switch("follow", "Try flows as they happen, until interrupted").short('f'),
        Flag::value(
            "for",
            "DURATION",
            "Try flows as they happen, for so long, as in 30s or 1h",
        ),
        Flag::value(
            "input-file",
            "FILE",
            "Read flows from a file of JSON lines instead of a server, packed by gzip or zstd or not; \
            may be repeated; - is standard input",
        ),
        Flag::value(
            "last",
            "N",
            "Try the latest N flows; of each node when a relay is asked [default: all]",
        ),
        Flag::value(
            "metrics-series-budget",
            "N",
            "The budget to plan with: most series of each metric on each node [default: 10000]",
        ),
        Flag::value("output", "FORMAT", "table or json [default: table]").short('o'),
        Flag::value(
            "since",
            "TIME",
            "Try flows from then on: a duration back from now such as 5m, or a date",
        ),
        Flag::value("until", "TIME", "Up to then, in the same forms"),
    ],
};

/// What was typed.
#[derive(Debug)]
pub(crate) struct Args {
    /// Where the flows come from.
    pub(super) observe: ObserveArgs,
    /// How long to follow.
    pub(super) period: Option<Duration>,
    pub(super) budget: usize,
    pub(super) output: String,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            observe: ObserveArgs::default(),
            period: None,
            budget: DEFAULT_SERIES_BUDGET,
            output: "table".to_owned(),
        }
    }
}

impl Accept for Args {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        match flag.long {
            "for" => {
                let period = duration(text).map_err(|error| ValueError::new(error.to_string()))?;
                self.period = Some(period);
            }
            "metrics-series-budget" => {
                let budget = value::unsigned(text, Base::Ten, u64::BITS)?;
                self.budget = usize::try_from(budget).unwrap_or(usize::MAX);
            }
            "output" => text.clone_into(&mut self.output),
            _ => return self.observe.accept(flag, text),
        }
        Ok(true)
    }
}

impl Args {
    /// Asks for all that is there where nothing else is said.
    pub(super) fn complete(&mut self) {
        let observe = &mut self.observe;
        let is_bounded = observe.last > 0
            || observe.first > 0
            || !observe.since.is_empty()
            || !observe.until.is_empty();
        if self.period.is_some() && observe.input_file.is_empty() {
            observe.follow = true;
        }
        observe.all |= !is_bounded && !observe.follow;
        // Whatever the configuration looks at is needed.
        observe.use_default_field_masks = false;
    }
}

//! The flags of `top`, and what they mean.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{
    sorting::Column,
    view::{Plan, View},
};
use crate::flags::{
    Accept, Flag, Section, ValueError,
    value::{self, Base},
};
use crate::group::{self, Fields, GroupArgs};
use crate::hint;
use crate::observe::args::Args;

/// Rates are those of so long.
const WINDOW: Duration = Duration::from_secs(10);

/// How often a screen or a table is made anew, unless told otherwise.
const INTERVAL: Duration = Duration::from_secs(1);

/// The flags that only `top` has.
pub(crate) const SECTION: Section = Section {
    heading: "Top Flags",
    flags: &[
        Flag::value(
            "batches",
            "N",
            "Print N tables as text, one each interval, instead of drawing on a terminal",
        ),
        Flag::value(
            "group-by",
            "FIELDS",
            "A view of your own, by fields with commas between, as observe --group-by has them",
        ),
        Flag::value(
            "group-limit",
            "N",
            "Rows to tell apart in each view; what comes after is counted together [default: 10000]",
        ),
        Flag::value("interval", "DURATION", "How often to refresh [default: 1s]"),
        Flag::switch("once", "The same as --batches 1"),
        Flag::value(
            "sort-by",
            "COLUMN",
            "flows/s, flows, bytes/s, bytes or a field of the view [default: flows/s]",
        ),
        Flag::value(
            "view",
            "NAME",
            "edges, drops, names, nodes or verdicts; with --group-by, groups [default: edges]",
        ),
        Flag::value(
            "window",
            "DURATION",
            "Rates are those of the last so long [default: 10s]",
        ),
    ],
};

/// What was typed.
#[derive(Debug, Default)]
pub(crate) struct TopArgs {
    pub(super) observe: Args,
    groups: GroupArgs,
    batches: Option<u64>,
    view: String,
    window_ns: Option<i64>,
}

impl Accept for TopArgs {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        match flag.long {
            "batches" => {
                let batches = value::unsigned(text, Base::Ten, u64::BITS)?;
                if batches == 0 {
                    return Err(ValueError::new("expected 1 or more"));
                }
                self.batches = Some(batches);
            }
            "once" if value::switch(text)? => self.batches = Some(1),
            "once" => {}
            "view" => text.clone_into(&mut self.view),
            "window" => self.window_ns = Some(value::duration_ns(text)?),
            _ => return Ok(self.groups.accept(flag, text)? || self.observe.accept(flag, text)?),
        }
        Ok(true)
    }
}

/// What is to be shown.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) plans: Vec<Plan>,
    /// The view to begin with.
    pub(super) first: usize,
    pub(super) order: Column,
    pub(super) limit: usize,
    pub(super) interval: Duration,
    pub(super) window: Duration,
    /// How many tables of text; `None` for a screen.
    pub(super) batches: Option<u64>,
}

impl TopArgs {
    /// What they mean.
    ///
    /// # Errors
    /// A view, field or column that there is not, or times that are too short.
    pub(super) fn wanted(&self) -> anyhow::Result<Wanted> {
        let mut plans = Vec::new();
        for view in View::ALL {
            let fields = Fields::parse(view.fields())?;
            plans.push(Plan { view, fields });
        }
        if self.groups.is_given() {
            let fields =
                Fields::parse(&self.groups.group_by).context("invalid argument for --group-by")?;
            plans.push(Plan {
                view: View::Groups,
                fields,
            });
        }
        let first = match self.view.as_str() {
            // Who names fields wants to see them.
            "" if self.groups.is_given() => plans.len() - 1,
            "" => 0,
            name => match plans.iter().position(|plan| plan.view.name() == name) {
                Some(index) => index,
                None => bail!(
                    "invalid argument for --view: no view \"{name}\", {}",
                    hint::expected(name, View::ALL.into_iter().map(View::name))
                ),
            },
        };
        let order = match (self.groups.sort_by.as_str(), plans.get(first)) {
            ("", _) | (_, None) => Column::Rate,
            (name, Some(plan)) => Column::find(name, &plan.fields)?,
        };
        let interval = self.groups.interval_ns.map(group::interval).transpose()?;
        let window = match self.window_ns {
            None => WINDOW,
            Some(ns) => match u64::try_from(ns).map(Duration::from_nanos) {
                Ok(window) if window >= Duration::from_secs(1) => window,
                _ => bail!("invalid argument for --window: expected 1s or more"),
            },
        };
        Ok(Wanted {
            plans,
            first,
            order,
            limit: self.groups.limit(),
            interval: interval.unwrap_or(INTERVAL),
            window,
            batches: self.batches,
        })
    }
}

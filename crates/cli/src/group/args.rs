//! The flags about groups, and what they mean.

use std::{io::IsTerminal as _, time::Duration};

use anyhow::{Context as _, bail};

use super::Fields;
use crate::flags::{
    Accept, Flag, Section, ValueError,
    value::{self, Base},
};
use crate::hint;

/// Groups at most, unless told otherwise. With counts and keys that is some megabytes, and more rows
/// than anybody reads.
const LIMIT: u64 = 10_000;

/// How often a follow prints its groups where nobody watches.
const PIPE_INTERVAL: Duration = Duration::from_secs(10);

/// The same on a terminal, where the table stays in place.
const TERMINAL_INTERVAL: Duration = Duration::from_secs(1);

/// More often is of no use to anybody.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// The flags.
pub(crate) const SECTION: Section = Section {
    heading: "Group Flags",
    flags: &[
        Flag::value(
            "group-by",
            "FIELDS",
            "Count flows instead of showing them, by fields with commas between, as in \
            source.namespace,verdict. Of each end (source, destination, client, server): nothing \
            more for who it is, .pod, .namespace, .workload, .service, .ip, .port, .identity, .names, \
            .cluster. Of the flow: verdict, drop-reason, protocol, transport, port, node, name, \
            direction, type, point, http.method, http.status, http.host, http.path, dns.query, \
            dns.rcode, tcp-flags, policy, process, unit, container, interface, minute, hour, day; and \
            any path of its fields, as l4.TCP.flags.SYN. Packets and bytes are counted where the \
            server tells them. With -o json or csv for programs",
        ),
        Flag::value(
            "group-limit",
            "N",
            "Groups to tell apart; what comes after is counted together [default: 10000]",
        ),
        Flag::value(
            "sort-by",
            "COLUMN",
            "flows, packets, bytes, first or last (seen), or one of the fields [default: flows]",
        ),
        Flag::value(
            "interval",
            "DURATION",
            "With -f, how often to print the groups [default: 1s on a terminal, else 10s]",
        ),
    ],
};

/// What was typed.
#[derive(Debug, Default)]
pub(crate) struct GroupArgs {
    pub(crate) group_by: String,
    limit: Option<u64>,
    pub(crate) sort_by: String,
    pub(crate) interval_ns: Option<i64>,
}

impl Accept for GroupArgs {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        match flag.long {
            "group-by" => text.clone_into(&mut self.group_by),
            "group-limit" => {
                let limit = value::unsigned(text, Base::Ten, u32::BITS)?;
                if limit == 0 {
                    return Err(ValueError::new("expected 1 or more"));
                }
                self.limit = Some(limit);
            }
            "sort-by" => text.clone_into(&mut self.sort_by),
            "interval" => self.interval_ns = Some(value::duration_ns(text)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// How groups are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Values with commas between, a row each.
    Csv,
    /// An object each.
    Json,
    /// Aligned columns.
    Table,
}

/// What groups are sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// The most first.
    Bytes,
    /// A field of this index; in the order of the alphabet.
    Field(usize),
    /// The earliest first.
    First,
    /// The most first.
    Flows,
    /// The latest first.
    Last,
    /// The most first.
    Packets,
}

/// The columns besides fields.
const COLUMNS: [(&str, Order); 5] = [
    ("bytes", Order::Bytes),
    ("first", Order::First),
    ("flows", Order::Flows),
    ("last", Order::Last),
    ("packets", Order::Packets),
];

/// How flows are to be grouped and printed.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    pub(crate) fields: Fields,
    pub(crate) limit: usize,
    pub(crate) order: Order,
    pub(crate) form: Form,
    /// How often, for answers without an end.
    pub(crate) interval: Option<Duration>,
    /// Each table takes the place of the one before.
    pub(crate) in_place: bool,
}

impl GroupArgs {
    pub(crate) fn is_given(&self) -> bool {
        !self.group_by.is_empty()
    }

    pub(crate) fn limit(&self) -> usize {
        usize::try_from(self.limit.unwrap_or(LIMIT)).unwrap_or(usize::MAX)
    }

    /// What they mean; `None` where no groups are wanted.
    ///
    /// # Errors
    /// A field or format that there is not, or flags that need `--group-by`.
    pub(crate) fn grouping(&self, output: &str, follow: bool) -> anyhow::Result<Option<Grouping>> {
        if !self.is_given() {
            for (given, flag) in [
                (self.limit.is_some(), "group-limit"),
                (!self.sort_by.is_empty(), "sort-by"),
                (self.interval_ns.is_some(), "interval"),
            ] {
                if given {
                    bail!("--{flag} is about groups: add --group-by");
                }
            }
            return Ok(None);
        }
        let fields = Fields::parse(&self.group_by).context("invalid argument for --group-by")?;
        let form = match output {
            // What holds where nothing is said.
            "compact" | "tab" | "table" => Form::Table,
            "csv" => Form::Csv,
            "json" | "JSON" | "jsonpb" => Form::Json,
            other => {
                bail!("invalid output format for --group-by: {other}, expected table, json or csv")
            }
        };
        let in_place = follow && form == Form::Table && std::io::stdout().is_terminal();
        Ok(Some(Grouping {
            order: order(&self.sort_by, &fields)?,
            fields,
            limit: self.limit(),
            form,
            interval: follow.then(|| self.interval(in_place)).transpose()?,
            in_place,
        }))
    }

    fn interval(&self, in_place: bool) -> anyhow::Result<Duration> {
        match self.interval_ns {
            Some(ns) => interval(ns),
            None if in_place => Ok(TERMINAL_INTERVAL),
            None => Ok(PIPE_INTERVAL),
        }
    }
}

/// How often to print, as it was typed.
///
/// # Errors
/// Too often.
pub(crate) fn interval(ns: i64) -> anyhow::Result<Duration> {
    let interval = Duration::from_nanos(u64::try_from(ns).unwrap_or(0));
    if interval < LEAST_INTERVAL {
        bail!("invalid argument for --interval: expected 100ms or more");
    }
    Ok(interval)
}

fn order(name: &str, fields: &Fields) -> anyhow::Result<Order> {
    if name.is_empty() {
        return Ok(Order::Flows);
    }
    let column = COLUMNS.iter().find(|(column, _)| *column == name);
    if let Some((_, order)) = column {
        return Ok(*order);
    }
    if let Some(index) = fields.position(name) {
        return Ok(Order::Field(index));
    }
    let columns = COLUMNS.iter().map(|(column, _)| *column);
    let columns = columns.chain(fields.iter().map(super::Field::name));
    bail!(
        "invalid argument for --sort-by: no column \"{name}\", {}",
        hint::expected(name, columns)
    )
}

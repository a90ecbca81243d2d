//! What was typed after `observe` and its sub-commands. No I/O.

use super::conditions::{self, Conditions};
use super::record::{self, RecordArgs};
use crate::filters::{self, Filters};
use crate::flags::{
    Accept, Flag, Section, ValueError,
    value::{self, Base},
};
use crate::group::{self, GroupArgs};
use crate::settings::{self, ServerArgs};

/// Which events, from when, how many.
const SELECTORS: Section = Section {
    heading: "Selectors Flags",
    flags: &[
        Flag::switch(
            "all",
            "All events that the server still has; best with filters",
        ),
        Flag::value(
            "first",
            "N",
            "The oldest N; of each node when a relay is asked",
        ),
        Flag::switch("follow", "Go on with new events as they happen").short('f'),
        Flag::value(
            "last",
            "N",
            "The latest N; of each node when a relay is asked [default: 20]",
        ),
        Flag::value(
            "since",
            "TIME",
            "From then on: a duration back from now such as 5m or 1h30m, or a date: 2026-01-31, \
            2026-01-31T09Z, 2026-01-31T09:30+02:00, 2026-01-31T09:30:15.5Z, or \"Sat, 31 Jan \
            2026 09:30:00 +0200\"",
        ),
        Flag::value("until", "TIME", "Up to then, in the same forms"),
    ],
};

/// Filters as the API has them.
const RAW_FILTERS: Section = Section {
    heading: "Raw-Filters Flags",
    flags: &[
        Flag::value(
            "allowlist",
            "JSON",
            "Show what matches this FlowFilter, as --print-raw-filters prints it; may be repeated",
        ),
        Flag::value(
            "denylist",
            "JSON",
            "Hide what matches this FlowFilter; may be repeated",
        ),
    ],
};

/// How events look.
const FORMATTING: Section = Section {
    heading: "Formatting Flags",
    flags: &[
        Flag::value(
            "output",
            "FORMAT",
            "compact: a line each; dict: a line for each field; \
            table: aligned columns; json or jsonpb: all that is known, a line each; csv: rows for \
            spreadsheets and data frames [default: compact]",
        )
        .short('o'),
        Flag::switch("print-node-name", "Show which node saw it"),
        Flag::switch(
            "print-policy-names",
            "Show the policies behind policy verdicts",
        ),
        Flag::value(
            "time-format",
            "NAME",
            "StampMilli, YearMonthDay, YearMonthDayHour, \
            YearMonthDayHourMinute, RFC3339, RFC3339Milli, RFC3339Micro, RFC3339Nano or \
            RFC1123Z; not for JSON [default: StampMilli]",
        ),
    ],
};

/// How flows look.
const FLOW_FORMAT: Section = Section {
    heading: "Flow Format Flags",
    flags: &[
        Flag::value(
            "color",
            "WHEN",
            "auto, always or never; for compact and dict [default: auto]",
        ),
        Flag::value(
            "columns",
            "NAMES",
            "For csv: these columns, with commas between: usual ones, or fields as --where names them, \
            as in time,source.pod,l4.TCP.flags.SYN",
        ),
        Flag::switch(
            "ip-translation",
            "Show names instead of addresses; switch it off with --ip-translation=false \
            [default: true]",
        ),
        Flag::switch("numeric", "Show addresses, never names"),
    ],
};

/// Everything else.
const OTHER: Section = Section {
    heading: "Other Flags",
    flags: &[
        Flag::value(
            "field-mask",
            "FIELDS",
            "Ask for these fields only, as in time,verdict,source.pod_name; for JSON",
        ),
        Flag::value(
            "input-file",
            "FILE",
            "Read flows from a file of JSON lines instead of a server, packed by gzip or zstd or not; \
            may be repeated; - is standard input",
        ),
        Flag::switch(
            "print-raw-filters",
            "Print the filters as the API has them, and ask nobody",
        ),
        Flag::switch("silent-errors", "Say nothing about nodes in trouble").short('s'),
        Flag::switch(
            "use-default-field-masks",
            "Ask only for what the format shows; not for JSON [default: true]",
        ),
    ],
};

/// What only `palomar` has.
#[cfg(feature = "node")]
const EMBEDDED: Section = Section {
    heading: "Local Flags",
    flags: &[
        Flag::value(
            "aggregation",
            "LEVEL",
            "Which packets the probes of --embedded report: none (each), low (each once), medium (the \
            first of a direction, new TCP flags, one each 5 s) or maximum [default: medium]",
        ),
        Flag::switch(
            "embedded",
            "Watch this machine with an agent inside this process; needs root, asks no server",
        ),
        Flag::value(
            "inventory",
            "FILE",
            "YAML file that tells --embedded who is behind which address",
        ),
        Flag::switch(
            "realtime",
            "Play a capture or exported flows at the pace at which they were recorded",
        ),
        Flag::value(
            "source",
            "SOURCE",
            "What --embedded reads: probes (this kernel), cilium[:SOCKET] (the monitor socket of \
            Cilium's agent), cilium-map:PATH (its event map), pcap:FILE (a capture, of this or \
            another machine; no privileges needed) or replay:FILE (flows as JSON); - is standard \
            input [default: probes]",
        ),
        Flag::switch(
            "take-over",
            "Read Cilium's event map although that takes the events away from whoever reads it now",
        ),
    ],
};

/// What servers of Palomar tell, and Hubble's do not.
const DETAIL: Section = Section {
    heading: "Detail Flags",
    flags: &[
        Flag::switch(
            "coverage",
            "Say at the end, on standard error, which time the answer covers and what was lost where \
        [default: where that is a terminal]",
        ),
        Flag::switch(
            "detail",
            "Ask for what goes beyond Hubble's flows, as bytes and packets, processes and the kernel's \
        reasons; in JSON, under extensions, which Hubble's own client cannot read",
        ),
        Flag::switch(
            "total",
            "With --last or --first, N events of all nodes together, and not of each, when a relay is \
        asked",
        ),
    ],
};

/// The flags of `observe` and `observe flows`.
pub(crate) const FLOWS: &[Section] = &[
    SELECTORS,
    filters::table::SECTION,
    conditions::SECTION,
    RAW_FILTERS,
    FORMATTING,
    FLOW_FORMAT,
    group::SECTION,
    record::SECTION,
    DETAIL,
    #[cfg(feature = "node")]
    EMBEDDED,
    settings::SECTION,
    OTHER,
    crate::cli::GLOBAL,
];

/// The flags of `top`.
pub(crate) const TOP: &[Section] = &[
    crate::top::args::SECTION,
    filters::table::SECTION,
    RAW_FILTERS,
    FLOW_FORMAT,
    #[cfg(feature = "node")]
    EMBEDDED,
    settings::SECTION,
    crate::cli::GLOBAL,
];

/// The flags of `metrics plan`.
#[cfg(feature = "node")]
pub(crate) const PLAN: &[Section] = &[
    crate::command::metrics::SECTION,
    EMBEDDED,
    settings::SECTION,
    crate::cli::GLOBAL,
];

/// The flags of `observe agent-events` and `observe debug-events`.
pub(crate) const EVENTS: &[Section] = &[
    SELECTORS,
    FORMATTING,
    settings::SECTION,
    OTHER,
    crate::cli::GLOBAL,
];

/// Flags as they were typed.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) all: bool,
    pub(crate) first: u64,
    pub(crate) follow: bool,
    pub(crate) last: u64,
    pub(crate) since: String,
    pub(crate) until: String,
    pub(crate) filters: Filters,
    pub(crate) conditions: Conditions,
    pub(crate) allowlist: Vec<String>,
    pub(crate) denylist: Vec<String>,
    pub(crate) output: String,
    pub(crate) columns: Vec<String>,
    pub(crate) record: RecordArgs,
    pub(crate) print_node_name: bool,
    pub(crate) print_policy_names: bool,
    pub(crate) time_format: String,
    pub(crate) color: String,
    pub(crate) ip_translation: bool,
    pub(crate) numeric: bool,
    pub(crate) field_mask: Vec<String>,
    /// Files of JSON lines, in the order in which they are read.
    pub(crate) input_file: Vec<String>,
    pub(crate) print_raw_filters: bool,
    pub(crate) silent_errors: bool,
    pub(crate) use_default_field_masks: bool,
    /// `None` where nothing was typed.
    pub(crate) coverage: Option<bool>,
    pub(crate) detail: bool,
    pub(crate) total: bool,
    pub(crate) groups: GroupArgs,
    #[cfg(feature = "node")]
    pub(crate) aggregation: String,
    #[cfg(feature = "node")]
    pub(crate) embedded: bool,
    #[cfg(feature = "node")]
    pub(crate) inventory: String,
    #[cfg(feature = "node")]
    pub(crate) realtime: bool,
    #[cfg(feature = "node")]
    pub(crate) source: String,
    #[cfg(feature = "node")]
    pub(crate) take_over: bool,
    pub(crate) server: ServerArgs,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            all: false,
            first: 0,
            follow: false,
            last: 0,
            since: String::new(),
            until: String::new(),
            filters: Filters::default(),
            conditions: Conditions::default(),
            allowlist: Vec::new(),
            denylist: Vec::new(),
            output: "compact".to_owned(),
            columns: Vec::new(),
            record: RecordArgs::default(),
            print_node_name: false,
            print_policy_names: false,
            time_format: String::new(),
            color: "auto".to_owned(),
            ip_translation: true,
            numeric: false,
            field_mask: Vec::new(),
            input_file: Vec::new(),
            print_raw_filters: false,
            silent_errors: false,
            use_default_field_masks: true,
            coverage: None,
            detail: false,
            total: false,
            groups: GroupArgs::default(),
            #[cfg(feature = "node")]
            aggregation: String::new(),
            #[cfg(feature = "node")]
            embedded: false,
            #[cfg(feature = "node")]
            inventory: String::new(),
            #[cfg(feature = "node")]
            realtime: false,
            #[cfg(feature = "node")]
            source: String::new(),
            #[cfg(feature = "node")]
            take_over: false,
            server: ServerArgs::default(),
        }
    }
}

impl Args {
    /// Whether this process reads the events itself, and no server has a say in how many.
    pub(crate) fn is_read_here(&self) -> bool {
        #[cfg(feature = "node")]
        if self.embedded {
            return true;
        }
        !self.input_file.is_empty()
    }
}

impl Accept for Args {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        let number = || value::unsigned(text, Base::Prefix, u64::BITS);
        match flag.long {
            "all" => self.all = value::switch(text)?,
            "first" => self.first = number()?,
            "follow" => self.follow = value::switch(text)?,
            "last" => self.last = number()?,
            "since" => text.clone_into(&mut self.since),
            "until" => text.clone_into(&mut self.until),
            "allowlist" => self.allowlist.push(text.to_owned()),
            "denylist" => self.denylist.push(text.to_owned()),
            "output" => text.clone_into(&mut self.output),
            "columns" => self.columns.extend(value::list(text)?),
            // Whatever `--not` turns around comes next, and a condition can say "not" itself.
            "where" if self.filters.is_negating() => {
                return Err(ValueError::new(
                    "--not is for filter flags: write !(...) in the condition",
                ));
            }
            "print-node-name" => self.print_node_name = value::switch(text)?,
            "print-policy-names" => self.print_policy_names = value::switch(text)?,
            "time-format" => text.clone_into(&mut self.time_format),
            "color" => text.clone_into(&mut self.color),
            "ip-translation" => self.ip_translation = value::switch(text)?,
            "numeric" => self.numeric = value::switch(text)?,
            "field-mask" => self.field_mask.extend(value::list(text)?),
            "input-file" if text.is_empty() => {}
            "input-file" => self.input_file.push(text.to_owned()),
            "print-raw-filters" => self.print_raw_filters = value::switch(text)?,
            "silent-errors" => self.silent_errors = value::switch(text)?,
            "use-default-field-masks" => self.use_default_field_masks = value::switch(text)?,
            "coverage" => self.coverage = Some(value::switch(text)?),
            "detail" => self.detail = value::switch(text)?,
            "total" => self.total = value::switch(text)?,
            #[cfg(feature = "node")]
            "aggregation" => text.clone_into(&mut self.aggregation),
            #[cfg(feature = "node")]
            "embedded" => self.embedded = value::switch(text)?,
            #[cfg(feature = "node")]
            "inventory" => text.clone_into(&mut self.inventory),
            #[cfg(feature = "node")]
            "realtime" => self.realtime = value::switch(text)?,
            #[cfg(feature = "node")]
            "source" => text.clone_into(&mut self.source),
            #[cfg(feature = "node")]
            "take-over" => self.take_over = value::switch(text)?,
            _ => {
                return Ok(self.server.accept(flag, text)?
                    || self.filters.accept(flag, text)?
                    || self.groups.accept(flag, text)?
                    || self.conditions.accept(flag, text)?
                    || self.record.accept(flag, text)?);
            }
        }
        Ok(true)
    }
}

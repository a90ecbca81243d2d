//! What the flags mean: a request, a printer, and where to send the one and what to do with the
//! other.

use anyhow::bail;
use flow_api::{
    extension::ask_for_flow_detail,
    observer::{GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest},
};
use prost_types::Timestamp;

use super::{args::Args, mask, record::Recorder};
use crate::config::Config;
use crate::filters::raw;
use crate::group::Grouping;
use crate::print::{self, Color, Column, Escape, Format, Printer, Style, time::TimeFormat};
use crate::progress::Progress;
use crate::since;

/// How many events are shown where nothing is said.
const USUAL_COUNT: u64 = 20;

/// The variable with names of old behaviours that scripts depend on, with commas between.
const COMPAT_VARIABLE: &str = "HUBBLE_COMPAT";

/// Of those: `-o json` prints flows without the response around them.
const LEGACY_JSON: &str = "legacy-json-output";

/// How to show events.
#[derive(Debug)]
pub(crate) struct Display {
    /// In which format.
    pub(crate) format: Format,
    /// Details of the format.
    pub(crate) style: Style,
    /// Say nothing about nodes.
    pub(crate) silent: bool,
    /// Count flows instead; then the format is that of the groups.
    pub(crate) grouping: Option<Grouping>,
    /// Save what is shown as well.
    pub(crate) recorder: Option<Recorder>,
    /// Where to say how far the work is.
    pub(crate) progress: Progress,
}

impl Display {
    /// Whether what becomes of a response depends on nothing that came before it.
    pub(crate) fn is_stateless(&self) -> bool {
        self.format.is_stateless() && !self.wants_all()
    }

    /// What is looked at of a response, as paths; `None` if that may be any field.
    pub(crate) fn shown(&self) -> Option<&'static [&'static str]> {
        match self.wants_all() {
            true => None,
            false => self.format.shown(),
        }
    }

    /// Whether more becomes of a response than that it is printed.
    fn wants_all(&self) -> bool {
        self.grouping.is_some() || self.recorder.is_some()
    }

    /// What prints events so.
    pub(crate) fn printer(&self) -> Box<dyn Printer> {
        match &self.grouping {
            Some(grouping) => print::group_printer(grouping, self.style.clone()),
            None => print::printer(self.format, self.style.clone()),
        }
    }

    /// Whether addresses are shown by the names that they are known by.
    pub(crate) fn shows_names(&self) -> bool {
        self.format != Format::Json
    }
}

/// A request for flows. Checks everything that can be checked without a server.
///
/// # Errors
/// The first thing that is wrong or does not go together.
pub(crate) fn flows(
    args: &mut Args,
    config: &Config,
    debug: bool,
) -> anyhow::Result<(GetFlowsRequest, Display)> {
    let (mut whitelist, mut blacklist) = std::mem::take(&mut args.filters).finish()?;
    let mut display = display(args, debug)?;
    display.style.columns = columns(args, display.format)?;
    let is_json = display.format == Format::Json;
    if display.grouping.is_some() && !args.field_mask.is_empty() {
        bail!("cannot set both --group-by and --field-mask");
    }
    if !is_json && !args.field_mask.is_empty() {
        bail!(
            "{} output format is not compatible with custom field mask",
            args.output
        );
    }
    let window = Window::of_flows(args)?;
    whitelist.extend(raw::parse(
        "allowlist",
        &lists("allowlist", &args.allowlist, config),
    )?);
    blacklist.extend(raw::parse(
        "denylist",
        &lists("denylist", &args.denylist, config),
    )?);
    args.conditions.narrow(&mut whitelist)?;
    let is_custom = !args.field_mask.is_empty();
    let mut paths = if is_custom {
        std::mem::take(&mut args.field_mask)
    } else if args.record.is_given() {
        // What is saved is to be whole.
        Vec::new()
    } else if let Some(grouping) = &display.grouping
        && args.use_default_field_masks
    {
        grouping.fields.mask()
    } else if display.format == Format::Csv && args.use_default_field_masks {
        Column::paths(&display.style.columns)
    } else if !is_json && args.use_default_field_masks {
        mask::SHOWN.map(str::to_owned).to_vec()
    } else {
        Vec::new()
    };
    if !is_custom {
        args.conditions.add_fields(&mut paths);
    }
    let field_mask = match paths.is_empty() {
        true => None,
        false => Some(mask::mask(paths)?),
    };
    let request = GetFlowsRequest {
        number: window.number,
        first: window.first,
        follow: args.follow,
        blacklist,
        whitelist,
        since: window.since,
        until: window.until,
        field_mask,
        extensions: (args.detail || display.grouping.is_some()).then(ask_for_flow_detail),
        ..GetFlowsRequest::default()
    };
    Ok((request, display))
}

/// A request for agent events.
///
/// # Errors
/// As [`flows`].
pub(crate) fn agent_events(
    args: &Args,
    debug: bool,
) -> anyhow::Result<(GetAgentEventsRequest, Display)> {
    let display = display(args, debug)?;
    let window = Window::of_events(args)?;
    let request = GetAgentEventsRequest {
        number: window.number,
        first: window.first,
        follow: args.follow,
        since: window.since,
        until: window.until,
    };
    Ok((request, display))
}

/// A request for debug events.
///
/// # Errors
/// As [`flows`].
pub(crate) fn debug_events(
    args: &Args,
    debug: bool,
) -> anyhow::Result<(GetDebugEventsRequest, Display)> {
    let display = display(args, debug)?;
    let window = Window::of_events(args)?;
    let request = GetDebugEventsRequest {
        number: window.number,
        first: window.first,
        follow: args.follow,
        since: window.since,
        until: window.until,
    };
    Ok((request, display))
}

fn display(args: &Args, debug: bool) -> anyhow::Result<Display> {
    let grouping = args.groups.grouping(&args.output, args.follow)?;
    let format = match args.output.as_str() {
        _ if grouping.is_some() => Format::Compact,
        "compact" => Format::Compact,
        "csv" => Format::Csv,
        "dict" => Format::Dict,
        "json" | "JSON" if wants_legacy_json() => Format::LegacyJson,
        "json" | "JSON" | "jsonpb" => Format::Json,
        "tab" | "table" if args.follow => {
            bail!("table output format is not compatible with follow mode")
        }
        "tab" | "table" => Format::Table,
        other => bail!("invalid output format: {other}"),
    };
    let style = Style {
        time: TimeFormat::from_name(&args.time_format),
        color: Color::choose(&args.color),
        escape: Escape::for_stdout(),
        names: args.ip_translation && !args.numeric,
        node_name: args.print_node_name,
        policy_names: args.print_policy_names,
        all_node_states: debug,
        columns: Vec::new(),
    };
    Ok(Display {
        format,
        style,
        silent: args.silent_errors,
        grouping,
        recorder: None,
        progress: Progress::default(),
    })
}

/// The columns of a table that has a choice of them.
fn columns(args: &Args, format: Format) -> anyhow::Result<Vec<Column>> {
    match (format, args.columns.is_empty()) {
        (Format::Csv, true) => Ok(Column::usual()),
        (Format::Csv, false) => Column::named(&args.columns),
        (_, true) => Ok(Vec::new()),
        (_, false) => bail!("--columns says what -o csv shows: add -o csv"),
    }
}

fn wants_legacy_json() -> bool {
    std::env::var(COMPAT_VARIABLE).is_ok_and(|names| {
        names
            .split(',')
            .any(|name| name.eq_ignore_ascii_case(LEGACY_JSON))
    })
}

fn lists(name: &str, typed: &[String], config: &Config) -> Vec<String> {
    if typed.is_empty() {
        config.list(name)
    } else {
        typed.to_vec()
    }
}

/// Which part of the events is wanted.
struct Window {
    number: u64,
    first: bool,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Window {
    fn of_flows(args: &Args) -> anyhow::Result<Self> {
        let first = args.first > 0;
        let last = args.last > 0;
        for (both, name, other) in [
            (first && last, "first", "last"),
            (first && args.all, "first", "all"),
            (first && args.follow, "first", "follow"),
            (last && args.all, "last", "all"),
        ] {
            if both {
                bail!("cannot set both --{name} and --{other}");
            }
        }
        let (since, until) = times(args)?;
        let number = if first { args.first } else { args.last };
        let number = match number {
            0 if since.is_some() || until.is_some() => 0,
            0 if args.all => u64::MAX,
            // Of the latest few nobody wants groups.
            0 if args.groups.is_given() && !args.follow => u64::MAX,
            0 if !args.follow && !args.is_read_here() => USUAL_COUNT,
            number => number,
        };
        Ok(Self {
            number,
            first,
            since,
            until,
        })
    }

    /// Hubble counts these from the newest only, and shows some before it follows.
    fn of_events(args: &Args) -> anyhow::Result<Self> {
        let (since, until) = times(args)?;
        let number = match args.last {
            last if since.is_some() || until.is_some() => last,
            _ if args.all => u64::MAX,
            0 => USUAL_COUNT,
            last => last,
        };
        Ok(Self {
            number,
            first: false,
            since,
            until,
        })
    }
}

/// The times that bound the events. A stream that follows has no end.
fn times(args: &Args) -> anyhow::Result<(Option<Timestamp>, Option<Timestamp>)> {
    let since = time("since", &args.since)?;
    let until = if args.follow {
        None
    } else {
        time("until", &args.until)?
    };
    Ok((since, until))
}

fn time(name: &str, text: &str) -> anyhow::Result<Option<Timestamp>> {
    if text.is_empty() {
        return Ok(None);
    }
    let time = since::parse(text)
        .map_err(|error| anyhow::anyhow!("failed to parse the {name} time: {error}"))?;
    if time.seconds < since::FIRST_SECOND {
        bail!(
            "failed to convert `{name}` timestamp to proto: proto: timestamp (seconds:{}) before \
             0001-01-01",
            time.seconds
        );
    }
    Ok(Some(time))
}

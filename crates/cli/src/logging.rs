//! Log lines on standard error, one `key=value` list each:
//! `time=2026-01-31T09:30:00Z level=WARN msg="peer stream ended" peer=node-1`.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use flow_filter::quoted;
use prost_types::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::print::time::TimeFormat;

/// The variable that says what to log, as in `debug` or `relay=trace,h2=info`.
const VARIABLE: &str = "PALOMAR_LOG";

/// Starts logging: what `$PALOMAR_LOG` asks for, else debug messages if `debug`, else warnings, or
/// from `usual` on.
pub(crate) fn start(debug: bool, usual: LevelFilter) {
    let level = if debug { LevelFilter::DEBUG } else { usual };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| {
        // Libraries below us log much that only their authors understand.
        let ours = [
            "palomar",
            "flow_api",
            "flow_filter",
            "flow_observer",
            "relay",
            "testbed",
        ];
        let mut filter = EnvFilter::new(LevelFilter::WARN.to_string());
        for target in ours {
            if let Ok(directive) = format!("{target}={level}").parse() {
                filter = filter.add_directive(directive);
            }
        }
        filter
    });
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .event_format(KeyValue)
        .try_init();
    debug_assert!(started.is_ok(), "logging starts once");
}

/// Nothing is written: somebody else draws on the terminal.
static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// Stops writing, or goes on. What is logged meanwhile is gone.
pub(crate) fn silence(is_silent: bool) {
    IS_SILENT.store(is_silent, Ordering::Relaxed);
}

fn stderr() -> Box<dyn Write> {
    if IS_SILENT.load(Ordering::Relaxed) {
        Box::new(io::sink())
    } else {
        Box::new(io::stderr())
    }
}

struct KeyValue;

impl<S, N> FormatEvent<S, N> for KeyValue
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = Vec::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let now = now.map(|now| Timestamp {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(now.subsec_nanos()).unwrap_or(0),
        });
        TimeFormat::Rfc3339Milli.write(&mut time, now.as_ref());
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(
            writer,
            "time={} level={} msg={}{}",
            String::from_utf8_lossy(&time),
            event.metadata().level(),
            shown(&fields.message),
            fields.rest
        )
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            let written = write!(self.rest, " {}={}", field.name(), shown(value));
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// A value in quotes if it would not be read back as one word.
fn shown(value: &str) -> String {
    let plain = !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'));
    if plain {
        value.to_owned()
    } else {
        quoted(value)
    }
}

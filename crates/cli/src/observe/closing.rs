//! The line after the last flow: which time the answer covers, and what was lost where.
//!
//! In: what the server says at the end of its stream, and what passed by until then. A follow that is
//! ended here hears no end; what it can say is what it saw.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use flow_api::{
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    palomar::{Coverage, CoverageReport, Loss},
};
use prost_types::Timestamp;

use crate::print::grouped;

const NS_PER_SECOND: i128 = 1_000_000_000;

/// Counts what passes by, and has the last word.
#[derive(Debug)]
pub(crate) struct Closing {
    began: Instant,
    /// The user wants a line in any case.
    is_wanted: bool,
    follow: bool,
    flows: Cell<u64>,
    lost: Cell<u64>,
    told: Arc<OnceLock<CoverageReport>>,
}

impl Closing {
    pub(crate) fn new(is_wanted: bool, follow: bool) -> Self {
        Self {
            began: Instant::now(),
            is_wanted,
            follow,
            flows: Cell::new(0),
            lost: Cell::new(0),
            told: Arc::default(),
        }
    }

    /// Where to put what the server says at the end.
    pub(crate) fn told(&self) -> Arc<OnceLock<CoverageReport>> {
        Arc::clone(&self.told)
    }

    pub(crate) fn count(&self, response: &GetFlowsResponse) {
        match &response.response_types {
            Some(ResponseTypes::Flow(_)) => self.flows.set(self.flows.get() + 1),
            Some(ResponseTypes::LostEvents(lost)) => {
                let lost = self.lost.get().saturating_add(lost.num_events_lost);
                self.lost.set(lost);
            }
            _ => {}
        }
    }

    /// The line; `None` where there is nothing to say.
    pub(crate) fn line(&self) -> Option<String> {
        if let Some(line) = self.told.get().and_then(of_report) {
            return Some(line);
        }
        let (flows, lost) = (flows(self.flows.get()), grouped(self.lost.get()));
        if self.follow {
            let followed = Span::of(self.began.elapsed());
            return Some(format!("{flows} in {followed}; {lost} lost"));
        }
        let silent = "; the server does not tell which time they cover";
        self.is_wanted.then(|| format!("{flows}{silent}"))
    }
}

fn of_report(report: &CoverageReport) -> Option<String> {
    let total = report.total.as_ref()?;
    let (from, to) = (nanoseconds(total.from?), nanoseconds(total.to?));
    let covered = Duration::from_nanos(u64::try_from(to - from).unwrap_or(0));
    let nodes = report.nodes.len() + report.unlisted_nodes as usize;
    let on_nodes = if nodes > 1 {
        format!(" on each of {nodes} nodes")
    } else {
        String::new()
    };
    let silent = match report.silent_nodes {
        0 => String::new(),
        1 => "; 1 node does not tell".to_owned(),
        more => format!("; {more} nodes do not tell"),
    };
    let what = match requested(total, to) {
        Some(requested) => {
            let unit = Unit::of(requested);
            let (covered, requested) = (unit.count(covered), unit.count(requested));
            format!("{covered} of {requested} requested {}", unit.name())
        }
        None => format!("{} in {}", flows(total.flows), Span::of(covered)),
    };
    let late = match total.late {
        0 => String::new(),
        late => format!(", {} out of order", grouped(late)),
    };
    let lost = lost(&total.losses);
    Some(format!("{what}{on_nodes}; {lost}{late}{silent}"))
}

/// How long the range is that was asked for, if one was: up to the end of the answer unless an end
/// was named.
fn requested(total: &Coverage, to: i128) -> Option<Duration> {
    let since = nanoseconds(total.requested_since?);
    let until = total.requested_until.map_or(to, nanoseconds);
    Some(Duration::from_nanos(
        u64::try_from(until - since).unwrap_or(0),
    ))
}

/// `0 lost`, or how many and where.
fn lost(losses: &[Loss]) -> String {
    let total: u64 = losses.iter().map(|loss| loss.count).sum();
    let mut places: BTreeMap<String, u64> = BTreeMap::new();
    for loss in losses.iter().filter(|loss| loss.count > 0) {
        *places.entry(place(loss)).or_default() += loss.count;
    }
    let places: Vec<String> = places
        .into_iter()
        .map(|(place, count)| format!("{} {place}", grouped(count)))
        .collect();
    match places.is_empty() {
        true => "0 lost".to_owned(),
        false => format!("{} lost: {}", grouped(total), places.join(", ")),
    }
}

fn place(loss: &Loss) -> String {
    match (loss.stage.as_str(), loss.what.as_str()) {
        ("kernel", "lost") => "in the kernel's ring".to_owned(),
        ("ring", "overtaken") => "overtaken in the flow ring".to_owned(),
        // A server may send anything; it stays one line of plain text.
        (stage, what) => format!("{what} in {stage}")
            .chars()
            .map(|it| match it {
                '_' => ' ',
                it if it.is_control() => '?',
                it => it,
            })
            .collect(),
    }
}

fn flows(count: u64) -> String {
    match count {
        1 => "1 flow".to_owned(),
        _ => format!("{} flows", grouped(count)),
    }
}

/// What time is counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unit {
    Seconds,
    Minutes,
    Hours,
    Days,
}

impl Unit {
    /// The largest of which there are two or more.
    fn of(span: Duration) -> Self {
        [Self::Days, Self::Hours, Self::Minutes]
            .into_iter()
            .find(|unit| span.as_secs() >= 2 * unit.seconds())
            .unwrap_or(Self::Seconds)
    }

    fn seconds(self) -> u64 {
        match self {
            Self::Seconds => 1,
            Self::Minutes => 60,
            Self::Hours => 3600,
            Self::Days => 86_400,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }

    /// To one digit behind the point. Rounded down, but for what rounds to a whole number anyway:
    /// the ends of ranges are some milliseconds apart.
    fn count(self, span: Duration) -> String {
        let units = span.as_secs_f64() / self.seconds() as f64;
        let tenths = (units * 10.0 + 0.1).floor() / 10.0;
        tenths.to_string()
    }
}

/// A stretch of time in words.
struct Span(Duration);

impl Span {
    fn of(span: Duration) -> Self {
        Self(span)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = Unit::of(self.0);
        write!(f, "{} {}", unit.count(self.0), unit.name())
    }
}

fn nanoseconds(time: Timestamp) -> i128 {
    i128::from(time.seconds) * NS_PER_SECOND + i128::from(time.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn covered(from: i64, to: i64) -> Coverage {
        Coverage {
            from: at(from),
            to: at(to),
            flows: 1_234,
            ..Coverage::default()
        }
    }

    fn line(total: Coverage) -> String {
        let report = CoverageReport {
            nodes: vec![total.clone()],
            total: Some(total),
            ..CoverageReport::default()
        };
        of_report(&report).unwrap()
    }

    #[test]
    fn a_range_that_was_asked_for_is_compared_with_what_there_is() {
        let asked = |from, since, until| Coverage {
            requested_since: at(since),
            requested_until: until,
            ..covered(from, 2_000)
        };
        assert_eq!(
            line(asked(1_880, 800, None)),
            "2 of 20 requested minutes; 0 lost"
        );
        assert_eq!(
            line(asked(1_910, 1_910, at(2_000))),
            "90 of 90 requested seconds; 0 lost"
        );
        assert_eq!(
            line(asked(1_735, -8_000, at(2_000))),
            "0 of 2.7 requested hours; 0 lost"
        );
    }

    #[test]
    fn without_a_range_what_there_is_is_told_and_losses_always_with_their_place() {
        assert_eq!(
            line(covered(1_000, 1_042)),
            "1,234 flows in 42 seconds; 0 lost"
        );
        let loss = |stage: &str, what: &str, count| Loss {
            stage: stage.to_owned(),
            what: what.to_owned(),
            count,
        };
        let with_losses = Coverage {
            losses: vec![
                loss("kernel", "lost", 1_200),
                loss("ring", "overtaken", 30),
                loss("kernel", "rate_limited", 4),
                loss("decode", "undecodable", 0),
            ],
            ..covered(1_000, 1_042)
        };
        assert_eq!(
            line(with_losses),
            "1,234 flows in 42 seconds; 1,234 lost: 1,200 in the kernel's ring, 30 overtaken in the \
             flow ring, 4 rate limited in kernel"
        );
    }

    #[test]
    fn nodes_are_counted_and_those_that_say_nothing_are_told() {
        let report = CoverageReport {
            total: Some(covered(0, 60)),
            nodes: vec![Coverage::default(); 3],
            unlisted_nodes: 2,
            silent_nodes: 1,
        };
        assert_eq!(
            of_report(&report).unwrap(),
            "1,234 flows in 60 seconds on each of 5 nodes; 0 lost; 1 node does not tell"
        );
    }
}

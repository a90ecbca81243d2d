//! A page for Prometheus: in the format of OpenMetrics for those who ask for it, and in the older one
//! of Prometheus for all others.
//!
//! The older one is made of the newer: what is called differently is renamed, and what has no place in
//! it, as exemplars, is left out.

use std::fmt;

use http::{HeaderMap, header::ACCEPT};
use prometheus_client::{encoding::text, registry::Registry};

/// A page, and what it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MetricsPage {
    /// For the header of that name.
    pub content_type: &'static str,
    /// All metrics of a registry.
    pub text: String,
}

impl MetricsPage {
    /// The page in the format that a request asks for.
    ///
    /// # Errors
    /// When a metric cannot be written, which is a bug of that metric.
    pub fn of(registry: &Registry, request: &HeaderMap) -> Result<Self, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, registry)?;
        Ok(if asks_for_open_metrics(request) {
            Self {
                content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                text,
            }
        } else {
            Self {
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                text: plain(&text),
            }
        })
    }
}

/// Whether OpenMetrics is named, and not after plain text.
fn asks_for_open_metrics(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT).iter();
    let ranges = values
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','));
    let (mut newer, mut older) = (0.0_f32, 0.0_f32);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let preferred = match parts.next().map(str::to_ascii_lowercase).as_deref() {
            Some("application/openmetrics-text") => &mut newer,
            Some("text/plain") => &mut older,
            _ => continue,
        };
        let weight = parts.find_map(|it| it.strip_prefix("q=")?.parse().ok());
        *preferred = preferred.max(weight.unwrap_or(1.0));
    }
    newer > 0.0 && newer >= older
}

/// The same page in the format that Prometheus had first.
fn plain(page: &str) -> String {
    let mut plain = String::with_capacity(page.len());
    let (mut help, mut bucket) = ("", None);
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // The type, which comes next, says what to call it.
            help = rest.split_once(' ').map_or("", |(_, text)| text);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            let lines = [
                "# HELP ",
                name,
                suffix,
                " ",
                help,
                "\n# TYPE ",
                name,
                suffix,
                " ",
                kind,
                "\n",
            ];
            plain.extend(lines);
            bucket = (kind == "histogram").then(|| format!("{name}_bucket{{le=\""));
        } else if !line.starts_with('#') {
            let sample = without_exemplar(line);
            match bucket.as_deref().and_then(|it| whole_bound(sample, it)) {
                Some((before, after)) => plain.extend([before, after, "\n"]),
                None => plain.extend([sample, "\n"]),
            }
        }
    }
    plain
}

/// What is before and behind the `.0` of a bound, which is a label, and so not the same without it.
fn whole_bound<'a>(sample: &'a str, bucket: &str) -> Option<(&'a str, &'a str)> {
    let bound = sample.strip_prefix(bucket)?;
    let end = bucket.len() + bound.find('"')?;
    let (before, after) = sample.split_at_checked(end)?;
    Some((before.strip_suffix(".0")?, after))
}

/// A sample without the exemplar behind its value. Values of labels may look like one.
fn without_exemplar(line: &str) -> &str {
    const EXEMPLAR: &str = " # {";
    if !line.contains(EXEMPLAR) {
        return line;
    }
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b' ' if !is_quoted && line[at..].starts_with(EXEMPLAR) => return &line[..at],
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use prometheus_client::metrics::{
        counter::Counter,
        exemplar::{CounterWithExemplar, HistogramWithExemplars},
        family::Family,
        gauge::Gauge,
    };

    use super::*;

    fn asked(accept: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static(accept));
        asks_for_open_metrics(&headers)
    }

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,*/*;q=0.2",
        ] {
            assert!(asked(accept), "{accept}");
        }
        for accept in [
            "*/*",
            "text/plain",
            "application/openmetrics-text;q=0, */*",
            "text/plain;version=0.0.4, application/openmetrics-text; q=0.9",
        ] {
            assert!(!asked(accept), "{accept}");
        }
        assert!(!asks_for_open_metrics(&HeaderMap::new()));
    }

    #[test]
    fn plain_pages_have_older_names_and_no_exemplars() {
        let mut registry = Registry::default();
        let drops = Family::<[(&str, &str); 1], Counter>::default();
        drops.get_or_create(&[("query", "a # { b")]).inc();
        registry.register("drops", "Drops", drops);
        registry.register("fill", "Fill", Gauge::<i64>::default());
        let requests = CounterWithExemplar::<[(&str, &str); 1]>::default();
        requests.inc_by(2, Some([("traceID", "a")]), None);
        registry.register("requests", "Requests", requests);
        let took = HistogramWithExemplars::<[(&str, &str); 1]>::new([0.5, 10.0].into_iter());
        took.observe(1.0, Some([("traceID", "a")]), None);
        registry.register("took_seconds", "Took", took);
        let page = MetricsPage::of(&registry, &HeaderMap::new()).unwrap();
        assert_eq!(
            page.content_type,
            "text/plain; version=0.0.4; charset=utf-8"
        );
        assert_eq!(
            page.text,
            "\
# HELP drops_total Drops.
# TYPE drops_total counter
drops_total{query=\"a # { b\"} 1
# HELP fill Fill.
# TYPE fill gauge
fill 0
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total 2
# HELP took_seconds Took.
# TYPE took_seconds histogram
took_seconds_sum 1.0
took_seconds_count 1
took_seconds_bucket{le=\"0.5\"} 0
took_seconds_bucket{le=\"10\"} 1
took_seconds_bucket{le=\"+Inf\"} 1
"
        );
    }
}

//! Requests that wait for their response, to tell how long it took and which trace it belongs to.
//!
//! The proxies log requests and responses apart; what joins them is the header `X-Request-Id`.

use super::access_log::{AccessLog, HttpRecord};
use crate::{layer7::trace_id, recent::Recent};

/// How many requests are remembered at least, as in Hubble. One takes some hundred bytes.
const REMEMBERED: usize = 10_000;
/// The longest identifier that is remembered; proxies write 36 characters.
const MAX_ID_BYTES: usize = 128;

/// Requests that wait for their response.
#[derive(Debug)]
pub(crate) struct Requests {
    waiting: Recent<Box<str>, Request>,
}

#[derive(Debug)]
struct Request {
    /// By the proxy's clock, nanoseconds since 1970.
    time_ns: i64,
    trace_id: Option<Box<str>>,
}

/// What a request or response has from its counterpart.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Correlated {
    /// From request to response in nanoseconds; 0 for requests, and where it is not known.
    pub(super) latency_ns: u64,
    /// The W3C trace that the request belongs to.
    pub(super) trace_id: Option<Box<str>>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            waiting: Recent::with_generation(REMEMBERED),
        }
    }
}

impl Requests {
    /// Remembers a request, or finds the one that a response answers.
    pub(super) fn correlate(&mut self, log: &AccessLog, time_ns: i64) -> Correlated {
        let Some(http) = &log.http else {
            return Correlated::default();
        };
        let id = header(http, "X-Request-Id").filter(|id| id.len() <= MAX_ID_BYTES);
        match (&*log.kind, id) {
            ("Request", id) => {
                let trace_id = header(http, "Traceparent").and_then(trace_id);
                if let Some(id) = id {
                    let request = Request {
                        time_ns,
                        trace_id: trace_id.map(Box::from),
                    };
                    self.waiting.insert(id.into(), request);
                }
                Correlated {
                    latency_ns: 0,
                    trace_id: trace_id.map(Box::from),
                }
            }
            ("Response", Some(id)) => match self.waiting.remove(&Box::from(id)) {
                Some(request) => Correlated {
                    latency_ns: time_ns
                        .checked_sub(request.time_ns)
                        .and_then(|latency| u64::try_from(latency).ok())
                        .unwrap_or(0),
                    trace_id: request.trace_id,
                },
                None => Correlated::default(),
            },
            _ => Correlated::default(),
        }
    }
}

/// The first value of a header that is there and not empty.
fn header<'a>(http: &'a HttpRecord, name: &str) -> Option<&'a str> {
    http.headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .and_then(|(_, values)| values.first())
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn log(kind: &str, headers: &[(&str, &str)]) -> AccessLog {
        let headers = headers
            .iter()
            .map(|&(name, value)| (name.to_owned(), vec![value.to_owned()]))
            .collect();
        AccessLog {
            kind: kind.to_owned(),
            http: Some(HttpRecord {
                headers,
                ..HttpRecord::default()
            }),
            ..AccessLog::default()
        }
    }

    fn latency(requests: &mut Requests, kind: &str, id: &str, time_ns: i64) -> u64 {
        let log = log(kind, &[("X-Request-Id", id)]);
        requests.correlate(&log, time_ns).latency_ns
    }

    #[test]
    fn a_response_tells_how_long_ago_its_request_was_once() {
        let requests = &mut Requests::default();
        assert_eq!(latency(requests, "Request", "a", 1_000), 0);
        assert_eq!(latency(requests, "Request", "b", 1_500), 0);
        assert_eq!(latency(requests, "Response", "a", 3_000), 2_000);
        assert_eq!(latency(requests, "Response", "a", 4_000), 0);
        assert_eq!(latency(requests, "Sample", "b", 4_000), 0);
        assert_eq!(
            latency(requests, "Response", "b", 1_400),
            0,
            "clock set back"
        );
        assert_eq!(latency(requests, "Response", "", 1_400), 0);
    }

    #[test]
    fn what_was_asked_ten_thousand_requests_ago_is_still_known() {
        let requests = &mut Requests::default();
        for id in 0..REMEMBERED as i64 {
            latency(requests, "Request", &id.to_string(), id);
        }
        assert_eq!(latency(requests, "Response", "0", 10), 10);
        for id in 0..2 * REMEMBERED as i64 {
            latency(requests, "Request", &format!("x{id}"), id);
        }
        assert_eq!(latency(requests, "Response", "1", 10), 0, "forgotten");
    }

    #[test]
    fn a_response_belongs_to_the_trace_of_its_request() {
        let mut requests = Requests::default();
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let request = log(
            "Request",
            &[("x-request-id", "a"), ("traceparent", &parent)],
        );
        let trace = |correlated: Correlated| correlated.trace_id;
        assert_eq!(
            trace(requests.correlate(&request, 0)).as_deref(),
            Some(TRACE)
        );
        let response = log("Response", &[("X-Request-Id", "a")]);
        assert_eq!(
            trace(requests.correlate(&response, 0)).as_deref(),
            Some(TRACE)
        );
        assert_eq!(trace(requests.correlate(&response, 0)), None);
    }
}

//! HTTP requests and responses.
//!
//! There are two: the older counts requests and responses, the newer (`httpV2`) responses only, as
//! what became of their requests.

use std::{sync::Arc, time::SystemTime};

use flow_api::flow::{L7FlowType, TrafficDirection, layer7::Record};
use prometheus_client::metrics::exemplar::{CounterWithExemplar, HistogramWithExemplars};

use super::{Contexts, Family, HashSet, Making, Measured, Page, Values};
use crate::metrics::flows::{BUCKETS, escaped::Escaped};

const TRACE: &str = "traceID";
/// Names and values of an exemplar's labels have 128 characters at most, by OpenMetrics.
const LONGEST_TRACE: usize = 128 - TRACE.len();

/// The trace of a request.
type Exemplar = Vec<(&'static str, Escaped<'static>)>;
type Count = CounterWithExemplar<Exemplar>;
type Duration = HistogramWithExemplars<Exemplar>;

#[derive(Debug)]
pub(crate) struct Http {
    requests: Family<Count>,
    /// Of the older one.
    responses: Option<Family<Count>>,
    duration: Family<Duration>,
    with_exemplars: bool,
}

impl Http {
    pub(super) fn new(making: &Making<'_>, is_v2: bool) -> Self {
        let with_status: &[_] = &["method", "protocol", "status", "reporter"];
        let of_requests = if is_v2 {
            with_status
        } else {
            &["method", "protocol", "reporter"]
        };
        let counts =
            |name, help, labels: &[&'static str]| making.family(name, help, labels, Count::default);
        Self {
            requests: counts(
                "hubble_http_requests",
                "Count of HTTP requests",
                of_requests,
            ),
            responses: (!is_v2).then(|| {
                counts(
                    "hubble_http_responses",
                    "Count of HTTP responses",
                    with_status,
                )
            }),
            duration: making.family(
                "hubble_http_request_duration_seconds",
                "Quantiles of HTTP request duration in seconds",
                &["method", "reporter"],
                || Duration::new(BUCKETS.into_iter()),
            ),
            with_exemplars: making
                .metric
                .option("exemplars")
                .is_some_and(|it| it == ["true"]),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        let Some(layer7) = flow.layer7() else { return };
        let Some(Record::Http(http)) = &layer7.record else {
            return;
        };
        let is_response = match L7FlowType::try_from(layer7.r#type) {
            Ok(L7FlowType::Request) => false,
            Ok(L7FlowType::Response) => true,
            _ => return,
        };
        let is_v2 = self.responses.is_none();
        if is_v2 && !is_response {
            return;
        }
        let exemplar = self.exemplar(flow);
        let reporter = reporter(flow);
        if is_v2 {
            contexts.put_turned(flow, values);
        } else {
            contexts.put(flow, values);
        }
        let begin = values.len();
        values.push(&http.method);
        values.push(&http.protocol);
        if is_response {
            values.print(http.code);
        }
        values.push(reporter);
        let counter = match &mut self.responses {
            Some(responses) if is_response => responses,
            _ => &mut self.requests,
        };
        let now = exemplar.is_some().then(SystemTime::now);
        counter.update(values, |it| {
            it.inc_by(1, exemplar.clone(), now);
        });
        if is_response {
            values.truncate(begin);
            values.push(&http.method);
            values.push(reporter);
            let seconds = layer7.latency_ns as f64 / 1e9;
            self.duration
                .update(values, |it| it.observe(seconds, exemplar, now));
        }
    }

    fn exemplar(&self, flow: &impl Measured) -> Option<Exemplar> {
        let trace = self.with_exemplars.then(|| flow.request_trace())?;
        let is_one = (1..=LONGEST_TRACE).contains(&trace.chars().count());
        is_one.then(|| vec![(TRACE, Escaped(trace.to_owned().into()))])
    }

    pub(super) fn remove_pods(&mut self, labels: &[&str], names: &HashSet<String>) {
        self.requests.remove_pods(labels, names);
        self.duration.remove_pods(labels, names);
        if let Some(responses) = &mut self.responses {
            responses.remove_pods(labels, names);
        }
    }

    pub(super) fn pages(&self) -> Vec<Arc<dyn Page>> {
        let mut pages: Vec<Arc<dyn Page>> = vec![self.requests.shared()];
        if let Some(responses) = &self.responses {
            pages.push(responses.shared());
        }
        pages.push(self.duration.shared());
        pages
    }
}

/// Whose side told: that of the client, or that of the server.
pub(super) fn reporter(flow: &impl Measured) -> &'static str {
    match TrafficDirection::try_from(flow.traffic_direction()) {
        Ok(TrafficDirection::Egress) => "client",
        Ok(TrafficDirection::Ingress) => "server",
        _ => "unknown",
    }
}

//! Requests to Kafka, and their responses.

use std::sync::Arc;

use flow_api::flow::{L7FlowType, layer7::Record};
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{Contexts, Family, HashSet, Making, Measured, Page, Values, http::reporter, one};
use crate::metrics::flows::BUCKETS;

#[derive(Debug)]
pub(crate) struct Kafka {
    requests: Family<Counter>,
    duration: Family<Histogram>,
}

impl Kafka {
    pub(super) fn new(making: &Making<'_>) -> Self {
        Self {
            requests: making.counters(
                "hubble_kafka_requests",
                "Count of Kafka requests",
                &["topic", "api_key", "error_code", "reporter"],
            ),
            duration: making.family(
                "hubble_kafka_request_duration_seconds",
                "Quantiles of Kafka request duration in seconds",
                &["topic", "api_key", "reporter"],
                || Histogram::new(BUCKETS),
            ),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        let Some(layer7) = flow.layer7() else { return };
        #[expect(deprecated, reason = "older servers tell of Kafka still")]
        let Some(Record::Kafka(kafka)) = &layer7.record else {
            return;
        };
        let reporter = reporter(flow);
        contexts.put(flow, values);
        let begin = values.len();
        values.push(&kafka.topic);
        values.push(&kafka.api_key);
        values.print(kafka.error_code);
        values.push(reporter);
        one(&mut self.requests, values);
        if L7FlowType::try_from(layer7.r#type) == Ok(L7FlowType::Response) {
            values.truncate(begin);
            values.push(&kafka.topic);
            values.push(&kafka.api_key);
            values.push(reporter);
            let seconds = layer7.latency_ns as f64 / 1e9;
            self.duration.update(values, |it| it.observe(seconds));
        }
    }

    pub(super) fn remove_pods(&mut self, labels: &[&str], names: &HashSet<String>) {
        self.requests.remove_pods(labels, names);
        self.duration.remove_pods(labels, names);
    }

    pub(super) fn pages(&self) -> Vec<Arc<dyn Page>> {
        vec![self.requests.shared(), self.duration.shared()]
    }
}

//! Questions to DNS servers and their answers.

use std::sync::Arc;

use flow_api::flow::{self, L7FlowType, Verdict, layer7::Record};
use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, HashSet, Making, Measured, Page, Values, one};
use crate::metrics::flows::names;

#[derive(Debug)]
pub(crate) struct Dns {
    queries: Family<Counter>,
    responses: Family<Counter>,
    types: Family<Counter>,
    with_query: bool,
    ignores_aaaa: bool,
}

impl Dns {
    pub(super) fn new(making: &Making<'_>) -> Self {
        // One text for all, as in Hubble.
        const HELP: &str = "Number of DNS queries observed";
        let with_query = making.has("query");
        let labels = |own: &[&'static str]| -> Vec<_> {
            own.iter()
                .copied()
                .chain(with_query.then_some("query"))
                .collect()
        };
        let of_messages = labels(&["rcode", "qtypes", "ips_returned"]);
        Self {
            queries: making.counters("hubble_dns_queries", HELP, &of_messages),
            responses: making.counters("hubble_dns_responses", HELP, &of_messages),
            types: making.counters(
                "hubble_dns_response_types",
                HELP,
                &labels(&["type", "qtypes"]),
            ),
            with_query,
            ignores_aaaa: making.has("ignoreAAAA"),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        let Some(layer7) = flow.layer7() else { return };
        let Some(Record::Dns(dns)) = &layer7.record else {
            return;
        };
        if self.ignores_aaaa && dns.qtypes == ["AAAA"] {
            return;
        }
        contexts.put(flow, values);
        let begin = values.len();
        if flow.verdict() == Verdict::Dropped as i32 {
            self.put(dns, "Policy denied", values);
            return one(&mut self.queries, values);
        }
        match L7FlowType::try_from(layer7.r#type) {
            Ok(L7FlowType::Request) => {
                self.put(dns, "", values);
                one(&mut self.queries, values);
            }
            Ok(L7FlowType::Response) => {
                self.put(dns, names::rcode(dns.rcode), values);
                one(&mut self.responses, values);
                for rrtype in &dns.rrtypes {
                    values.truncate(begin);
                    values.push(rrtype);
                    values.join(dns.qtypes.iter().map(String::as_str));
                    values.end();
                    self.put_query(dns, values);
                    one(&mut self.types, values);
                }
            }
            _ => {}
        }
    }

    fn put(&self, dns: &flow::Dns, rcode: &str, values: &mut Values) {
        values.push(rcode);
        values.join(dns.qtypes.iter().map(String::as_str));
        values.end();
        values.print(dns.ips.len());
        self.put_query(dns, values);
    }

    fn put_query(&self, dns: &flow::Dns, values: &mut Values) {
        if self.with_query {
            values.push(&dns.query);
        }
    }

    pub(super) fn remove_pods(&mut self, labels: &[&str], names: &HashSet<String>) {
        self.queries.remove_pods(labels, names);
        self.responses.remove_pods(labels, names);
        self.types.remove_pods(labels, names);
    }

    pub(super) fn pages(&self) -> Vec<Arc<dyn Page>> {
        vec![
            self.queries.shared(),
            self.responses.shared(),
            self.types.shared(),
        ]
    }
}

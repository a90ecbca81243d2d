//! A plan as JSON: one object.

use flow_observer::metrics::flows::{PlannedLabel, PlannedMetric};
use serde_json::{Value, json};

use super::tried::{Total, Tried};
use crate::print::time::TimeFormat;

pub(super) fn print(tried: &Tried) -> Vec<u8> {
    let metrics = tried.plan.metrics();
    let total = Total::of(&metrics);
    let time = |time| {
        let mut text = Vec::new();
        TimeFormat::Rfc3339Nano.write(&mut text, Some(&time));
        String::from_utf8_lossy(&text).into_owned()
    };
    let plan = json!({
        "flows": tried.plan.flows(),
        "nodes": tried.plan.nodes(),
        "lost_events": tried.lost,
        "first": tried.span.map(|(first, _)| time(first)),
        "last": tried.span.map(|(_, last)| time(last)),
        "series_budget": tried.budget,
        "series": total.series,
        "time_series": total.time_series,
        "new_lately": total.new_lately,
        "metrics": metrics.iter().map(metric).collect::<Vec<_>>(),
    });
    let mut out = serde_json::to_vec_pretty(&plan).unwrap_or_default();
    out.push(b'\n');
    out
}

fn metric(metric: &PlannedMetric) -> Value {
    let node = metric.largest_node.as_ref();
    json!({
        "name": metric.name,
        "series": metric.series,
        "is_cut": metric.is_cut,
        "time_series": metric.time_series,
        "new_lately": metric.new_lately,
        "largest_node": node.map(|(name, series)| json!({ "name": name, "series": series })),
        "nodes_beyond_budget": metric.nodes_beyond_budget,
        "counted_as_other": metric.beyond_budget,
        "labels": metric.labels.iter().map(label).collect::<Vec<_>>(),
    })
}

fn label(label: &PlannedLabel) -> Value {
    let largest = label.largest.iter();
    let largest: Vec<_> = largest
        .map(|(value, series)| json!({ "value": value, "series": series }))
        .collect();
    json!({
        "name": label.name,
        "is_optional": label.is_optional,
        "values": label.values,
        "series_without": label.series_without,
        "largest": largest,
    })
}

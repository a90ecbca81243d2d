//! A plan as tables: what it was tried on, the metrics, their labels, and what follows from it.

use flow_observer::metrics::flows::{PlannedLabel, PlannedMetric};

use super::tried::{Total, Tried};
use crate::{
    command::uptime,
    print::{Align, Escape, Grid, Page, append, grouped, time::TimeFormat},
};

pub(super) fn print(tried: &Tried) -> Vec<u8> {
    let metrics = tried.plan.metrics();
    let total = Total::of(&metrics);
    let mut page = Page::default();
    tell_flows(&mut page.out, tried);
    page.out.push(b'\n');
    tell_metrics(&mut page, &metrics, &total);
    tell_labels(&mut page, &metrics);
    page.out.push(b'\n');
    tell_budget(&mut page.out, tried, &metrics);
    tell_saving(&mut page.out, &metrics);
    tell_certainty(&mut page.out, tried, &total);
    page.out
}

fn tell_flows(out: &mut Vec<u8>, tried: &Tried) {
    let (flows, nodes) = (tried.plan.flows(), tried.plan.nodes() as u64);
    append!(out, "{} of {}", count(flows, "flow"), count(nodes, "node"));
    if let Some((first, last)) = &tried.span {
        append!(out, ", ");
        TimeFormat::Rfc3339.write(out, Some(first));
        append!(out, " to ");
        TimeFormat::Rfc3339.write(out, Some(last));
        let span_ns = uptime::rounded_to_seconds(tried.span_ns());
        append!(out, " ({})", uptime::words(span_ns));
    }
    out.push(b'\n');
    if tried.lost > 0 {
        let lost = count(tried.lost, "event");
        append!(out, "{lost} lost before they could be tried\n");
    }
}

fn tell_metrics(page: &mut Page, metrics: &[PlannedMetric], total: &Total) {
    let mut grid = Grid::new([
        ("METRIC".to_owned(), Align::Left),
        ("SERIES".to_owned(), Align::Right),
        ("LARGEST NODE".to_owned(), Align::Right),
        ("TIME SERIES".to_owned(), Align::Right),
        ("NEW".to_owned(), Align::Right),
        ("AS OTHER".to_owned(), Align::Right),
    ]);
    for metric in metrics {
        let more = if metric.is_cut { "+" } else { "" };
        let largest = metric.largest_node.as_ref().map_or(0, |(_, most)| *most);
        grid.row(vec![
            metric.name.clone(),
            format!("{}{more}", number(metric.series)),
            format!("{}{more}", number(largest)),
            number(metric.time_series),
            number(metric.new_lately),
            grouped(metric.beyond_budget),
        ]);
    }
    grid.row(vec![
        "all".to_owned(),
        number(total.series),
        String::new(),
        number(total.time_series),
        number(total.new_lately),
        String::new(),
    ]);
    grid.write(page, None);
}

fn tell_labels(page: &mut Page, metrics: &[PlannedMetric]) {
    let mut grid = Grid::new([
        ("METRIC".to_owned(), Align::Left),
        ("LABEL".to_owned(), Align::Left),
        ("VALUES".to_owned(), Align::Right),
        ("WITHOUT IT".to_owned(), Align::Right),
        ("MOST SERIES".to_owned(), Align::Left),
    ]);
    let mut is_empty = true;
    for metric in metrics.iter().filter(|it| it.series > 0) {
        let mut name = metric.name.as_str();
        for label in &metric.labels {
            let without = match label.is_optional {
                true => number(label.series_without),
                false => "-".to_owned(),
            };
            let label_name = label.name.to_owned();
            let values = number(label.values);
            grid.row(vec![
                name.to_owned(),
                label_name,
                values,
                without,
                largest(label),
            ]);
            name = "";
            is_empty = false;
        }
    }
    if !is_empty {
        page.out.push(b'\n');
        grid.write(page, None);
    }
}

/// The values with the most series.
fn largest(label: &PlannedLabel) -> String {
    /// Beyond that a table is hard to read; JSON has all of it.
    const LONGEST: usize = 40;
    let text = |(value, series): &(String, usize)| {
        let mut shown = Vec::new();
        Escape::for_stdout().write(&mut shown, value);
        let mut shown = String::from_utf8_lossy(&shown).replace(['\t', '\n'], " ");
        if let Some((end, _)) = shown.char_indices().nth(LONGEST) {
            shown.truncate(end);
            shown.push_str("...");
        }
        match shown.as_str() {
            "" => format!("\"\" ({})", number(*series)),
            shown => format!("{shown} ({})", number(*series)),
        }
    };
    label
        .largest
        .iter()
        .map(text)
        .collect::<Vec<_>>()
        .join(", ")
}

fn tell_budget(out: &mut Vec<u8>, tried: &Tried, metrics: &[PlannedMetric]) {
    let budget = number(tried.budget);
    let beyond = metrics.iter().filter(|it| it.nodes_beyond_budget > 0);
    let mut is_kept = true;
    for metric in beyond {
        is_kept = false;
        append!(
            out,
            "{} has more than {budget} series on {} of {}.\n",
            metric.name,
            grouped(metric.nodes_beyond_budget as u64),
            count(tried.plan.nodes() as u64, "node"),
        );
    }
    if is_kept {
        append!(out, "No metric has more than {budget} series on a node.\n");
    }
}

/// The label without which the most series are saved.
fn tell_saving(out: &mut Vec<u8>, metrics: &[PlannedMetric]) {
    let saving = metrics.iter().flat_map(|metric| {
        let optional = metric.labels.iter().filter(|label| label.is_optional);
        optional.map(move |label| {
            (
                metric.series.saturating_sub(label.series_without),
                metric,
                label,
            )
        })
    });
    let Some((saved, metric, label)) = saving.max_by_key(|(saved, ..)| *saved) else {
        return;
    };
    if saved > 0 {
        append!(
            out,
            "Without {} of {} there were {} series less.\n",
            label.name,
            metric.name,
            number(saved)
        );
    }
}

fn tell_certainty(out: &mut Vec<u8>, tried: &Tried, total: &Total) {
    if tried.plan.flows() == 0 {
        append!(out, "There were no flows, so that nothing is known.\n");
    } else if total.new_lately > 0 {
        append!(
            out,
            "{} of {} series came with the last tenth of the flows: with more flows there are more.\n",
            number(total.new_lately),
            number(total.series),
        );
    } else {
        append!(
            out,
            "None of {} series came with the last tenth of the flows: of such traffic there are hardly more.\n",
            number(total.series),
        );
    }
}

fn number(number: usize) -> String {
    grouped(number as u64)
}

/// As in `1 node` and `2 nodes`.
fn count(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {what}{ending}", grouped(number))
}

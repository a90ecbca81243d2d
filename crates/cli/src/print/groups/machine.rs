//! Groups for programs: an object in JSON for each, or a row of values with commas between.

use prost_types::Timestamp;

use super::{Count, GroupPrinter, Row, append};
use crate::print::{Escape, Page, time::TimeFormat};

/// Appends an object for each group, one for what is in none if there is any, and one with the sums,
/// which ends the table.
pub(super) fn json(printer: &GroupPrinter, rows: &[Row<'_>], page: &mut Page) {
    let out = &mut page.out;
    for row in rows {
        append!(out, "{{\"group\":{{");
        let fields = printer.groups.fields().iter().zip(&row.values);
        for (index, (field, value)) in fields.enumerate() {
            let comma = if index > 0 { "," } else { "" };
            append!(out, "{comma}{}:{}", quoted(field.name()), quoted(value));
        }
        append!(out, "}},");
        counts(out, row.count);
        append!(out, "}}\n");
    }
    let other = printer.groups.other();
    if !other.is_empty() {
        append!(out, "{{\"other\":{{");
        counts(out, other);
        append!(out, "}}}}\n");
    }
    append!(out, "{{\"total\":{{\"groups\":{},", printer.groups.len());
    counts(out, printer.groups.total());
    append!(out, ",\"lost_events\":{}}}}}\n", printer.lost.total());
}

fn counts(out: &mut Vec<u8>, count: &Count) {
    append!(out, "\"flows\":{}", count.flows);
    if count.has_traffic {
        append!(
            out,
            ",\"packets\":{},\"bytes\":{}",
            count.packets,
            count.bytes
        );
    }
    for (name, time) in [("first_seen", count.first), ("last_seen", count.last)] {
        if time.is_some() {
            append!(out, ",\"{name}\":\"{}\"", rfc3339(time));
        }
    }
}

/// Appends a heading and a row for each group. What nobody said is empty.
pub(super) fn csv(printer: &GroupPrinter, rows: &[Row<'_>], page: &mut Page) {
    let out = &mut page.out;
    let fields = printer.groups.fields();
    let escape = printer.style.escape;
    for field in fields.iter() {
        value(out, escape, field.name());
        append!(out, ",");
    }
    append!(out, "flows,packets,bytes,first_seen,last_seen\n");
    let mut row = |values: &mut dyn Iterator<Item = &str>, count: &Count| {
        for text in values {
            value(out, escape, text);
            append!(out, ",");
        }
        append!(out, "{},", count.flows);
        match count.has_traffic {
            true => append!(out, "{},{}", count.packets, count.bytes),
            false => append!(out, ","),
        }
        append!(out, ",{},{}\n", rfc3339(count.first), rfc3339(count.last));
    };
    for group in rows {
        row(&mut group.values.iter().copied(), group.count);
    }
    let other = printer.groups.other();
    if !other.is_empty() {
        let mut values = ["(other)"].into_iter().chain(std::iter::repeat(""));
        row(&mut values.by_ref().take(fields.len()), other);
    }
}

/// A value between commas, by RFC 4180.
fn value(out: &mut Vec<u8>, escape: Escape, text: &str) {
    if text.contains(['"', ',', '\n', '\r']) {
        append!(out, "\"");
        escape.write(out, &text.replace('"', "\"\""));
        append!(out, "\"");
    } else {
        escape.write(out, text);
    }
}

fn quoted(text: &str) -> serde_json::Value {
    serde_json::Value::from(text)
}

fn rfc3339(time: Option<Timestamp>) -> String {
    let mut text = Vec::new();
    if time.is_some() {
        TimeFormat::Rfc3339Nano.write(&mut text, time.as_ref());
    }
    String::from_utf8_lossy(&text).into_owned()
}

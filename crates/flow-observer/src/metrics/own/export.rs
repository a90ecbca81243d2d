//! Exporters: what each has written and lost, and those of a file under Hubble's names.

use std::{collections::BTreeMap, fmt};

use prometheus_client::encoding::DescriptorEncoder;

use super::write;
use crate::export::{ExportCounts, ExporterStatus};

/// What changing the file of exporters does, as Hubble has it.
const OPERATIONS: [&str; 4] = ["add", "update", "remove", "failure"];

pub(super) fn encode(counts: &ExportCounts, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    type Value = fn(&ExporterStatus) -> u64;
    let exporters = counts.exporters();
    let counters: [(_, _, Value); 3] = [
        (
            "palomar_export_lines",
            "Lines that an exporter has written.",
            |it| it.lines,
        ),
        (
            "palomar_export_bytes",
            "Bytes that an exporter has written, before anything was packed.",
            |it| it.bytes,
        ),
        (
            "palomar_export_rotations",
            "How often an exporter has begun another file.",
            |it| it.rotations,
        ),
    ];
    for (name, help, value) in counters {
        let series = exporters.iter();
        let series = series.map(|it| ([("exporter", &*it.name)], value(it)));
        write::counters(encoder, name, help, series)?;
    }
    let by_reason = |of: fn(&ExporterStatus) -> &BTreeMap<&'static str, u64>| {
        exporters.iter().flat_map(move |it| {
            let labels = |reason| [("exporter", &*it.name), ("reason", reason)];
            of(it)
                .iter()
                .map(move |(reason, &count)| (labels(*reason), count))
        })
    };
    write::counters(
        encoder,
        "palomar_export_lost_events",
        "Events that an exporter will not write, by why.",
        by_reason(|it| &it.lost_by),
    )?;
    write::counters(
        encoder,
        "palomar_export_errors",
        "Attempts of an exporter that failed, by why; most are made again.",
        by_reason(|it| &it.faults),
    )?;
    let gauges: [(_, _, Value); 2] = [
        (
            "palomar_export_active",
            "Whether an exporter has not come to its end.",
            |it| u64::from(it.is_active),
        ),
        (
            "palomar_export_failing",
            "Whether an exporter cannot write for now.",
            |it| u64::from(!it.reason.is_empty()),
        ),
    ];
    for (name, help, value) in gauges {
        let series = exporters.iter();
        let series = series.map(|it| ([("exporter", &*it.name)], value(it)));
        write::gauges(encoder, name, help, series)?;
    }
    encode_dynamic(counts, &exporters, encoder)
}

/// Those of the file, if there is one.
fn encode_dynamic(
    counts: &ExportCounts,
    exporters: &[ExporterStatus],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let reconfigurations = counts.reconfigurations();
    let applied = counts.last_applied();
    if applied.is_none() && reconfigurations.is_empty() {
        return Ok(());
    }
    let dynamic = || exporters.iter().filter(|it| it.is_dynamic);
    let active = dynamic().filter(|it| it.is_active).count() as u64;
    let inactive = dynamic().count() as u64 - active;
    write::gauges(
        encoder,
        "hubble_dynamic_exporter_exporters_total",
        "Exporters of the configuration file, by whether their end has come.",
        [("active", active), ("inactive", inactive)].map(|(it, count)| ([("status", it)], count)),
    )?;
    write::gauges(
        encoder,
        "hubble_dynamic_exporter_up",
        "Whether an exporter of the configuration file has not come to its end.",
        dynamic().map(|it| ([("name", &*it.name)], u64::from(it.is_active))),
    )?;
    let done = |operation| reconfigurations.get(operation).copied().unwrap_or_default();
    write::counters(
        encoder,
        "hubble_dynamic_exporter_reconfigurations",
        "What changing the configuration file did to exporters, and how often it could not.",
        OPERATIONS.map(|it| ([("op", it)], done(it))),
    )?;
    let applied = applied.unwrap_or_default();
    write::gauge(
        encoder,
        "hubble_dynamic_exporter_config_hash",
        "Tells the configuration that holds from others: of its MD5 the first eight bytes.",
        applied.hash as f64,
    )?;
    write::gauge(
        encoder,
        "hubble_dynamic_exporter_config_last_applied",
        "When the configuration that holds was taken, in seconds since 1970.",
        applied.seconds,
    )
}

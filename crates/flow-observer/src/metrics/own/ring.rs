//! The flow ring, and who reads it.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::write;
use crate::ring::{FlowRing, ReaderKind, Reading};

pub(super) fn encode(ring: &FlowRing, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let fill = ring.fill();
    let limits = ring.limits();
    for (name, help, value) in [
        (
            "palomar_ring_flows",
            "Events in the ring.",
            Some(fill.events),
        ),
        (
            "palomar_ring_capacity",
            "Events that the ring can hold.",
            Some(ring.capacity()),
        ),
        (
            "palomar_ring_bytes",
            "Memory of the ring: events and what they are encoded to.",
            Some(fill.bytes),
        ),
        (
            "palomar_ring_bytes_limit",
            "Memory that the ring may take, where there is a limit.",
            limits.bytes,
        ),
    ] {
        if let Some(value) = value {
            write::size(encoder, name, help, value)?;
        }
    }
    let span_ns = fill.span_ns.map_or(0, |(oldest_ns, newest_ns)| {
        newest_ns.saturating_sub(oldest_ns).max(0)
    });
    write::gauge(
        encoder,
        "palomar_ring_span_seconds",
        "Time between the oldest and the newest event in the ring.",
        span_ns as f64 / 1e9,
    )?;
    encode_readers(ring, encoder)
}

fn encode_readers(ring: &FlowRing, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let end = ring.end();
    let readings = ReaderKind::ALL.map(|kind| (kind.name(), ring.readers().of(kind, end)));
    let series = |value: fn(Reading) -> u64| {
        readings.map(move |(name, reading)| ([("reader", name)], value(reading)))
    };
    write::gauges(
        encoder,
        "palomar_readers",
        "Readers of the ring, by what they read it for.",
        series(|it| it.readers),
    )?;
    write::gauges(
        encoder,
        "palomar_reader_behind_events",
        "Events that the slowest reader of a kind has not read.",
        series(|it| it.behind),
    )?;
    write::counters(
        encoder,
        "palomar_reader_overtaken_events",
        "Events that left the ring before a reader came to them.",
        series(|it| it.missed),
    )
}

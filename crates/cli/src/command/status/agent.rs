//! What an agent of Palomar says about itself, below what every server of Hubble's API says.

use flow_api::palomar::{Exporter, GetAgentStatusResponse, Hook, Provider, StageCount};
use prost_types::Timestamp;

use super::uptime;
use crate::print::{Escape, append, grouped, time::TimeFormat};

/// Versions of servers that answer: `palomar v0.1.0`. A relay, `palomar-relay v0.1.0`, does not.
pub(super) const VERSION_PREFIX: &str = "palomar v";

/// Lines for people: where events come from, what is off, what was lost where.
pub(super) fn lines(out: &mut Vec<u8>, status: &GetAgentStatusResponse) {
    append!(out, "Source: ");
    Escape::for_stdout().write(out, &status.source);
    match status.watched_devices {
        0 => {}
        1 => append!(out, ", 1 device watched"),
        more => append!(out, ", {more} devices watched"),
    }
    if !status.aggregation.is_empty() {
        append!(out, ", aggregation ");
        Escape::for_stdout().write(out, &status.aggregation);
    }
    append!(out, "\n");
    for Hook { name, reason, .. } in status.hooks.iter().filter(|hook| !hook.on) {
        append!(out, "Off: ");
        Escape::for_stdout().write(out, name);
        append!(out, " (");
        Escape::for_stdout().write(out, reason);
        append!(out, ")\n");
    }
    if let (Some(oldest), Some(newest)) = (&status.oldest, &status.newest) {
        append!(out, "Ring Span: {}, ", span(oldest, newest));
        TimeFormat::Rfc3339.write(out, Some(oldest));
        append!(out, " to ");
        TimeFormat::Rfc3339.write(out, Some(newest));
        append!(out, "\n");
    }
    if status.ring_bytes > 0 {
        append!(out, "Ring Memory: {}", mebibytes(status.ring_bytes));
        if status.ring_bytes_limit > 0 {
            append!(out, " of {}", mebibytes(status.ring_bytes_limit));
        }
        append!(out, "\n");
    }
    for provider in &status.providers {
        tell_provider(out, provider);
    }
    for exporter in &status.exporters {
        tell_exporter(out, exporter);
    }
    let lost: Vec<&StageCount> = status
        .counts
        .iter()
        .filter(|count| count.is_loss && count.count > 0)
        .collect();
    let total = lost
        .iter()
        .fold(0u64, |sum, count| sum.saturating_add(count.count));
    append!(out, "Lost Events: {}\n", grouped(total));
    for count in lost {
        append!(out, "  - {}: ", grouped(count.count));
        Escape::for_stdout().write(out, &count.stage);
        append!(out, ", ");
        Escape::for_stdout().write(out, &count.what);
        if !count.kind.is_empty() {
            append!(out, ", ");
            Escape::for_stdout().write(out, &count.kind);
        }
        append!(out, "\n");
    }
}

/// How long it is from one time to another.
fn span(oldest: &Timestamp, newest: &Timestamp) -> String {
    let seconds = newest.seconds.saturating_sub(oldest.seconds);
    uptime::words(seconds.saturating_mul(1_000_000_000))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Who tells who is who: one line, and one more for each part that does not hear of changes.
fn tell_provider(out: &mut Vec<u8>, provider: &Provider) {
    append!(out, "Names: ");
    Escape::for_stdout().write(out, &provider.name);
    append!(out, " ");
    Escape::for_stdout().write(out, &provider.state);
    if !provider.source.is_empty() {
        append!(out, " (");
        Escape::for_stdout().write(out, &provider.source);
        append!(out, ")");
    }
    // Only some of it is old then, which its lines tell.
    if provider.state == "partial" {
        append!(out, ", {} objects", grouped(provider.objects));
    } else {
        append!(out, ", {}", objects(provider));
    }
    let silent = |state: &str| !matches!(state, "connected" | "absent");
    let is_whole = provider.parts.iter().all(|part| part.reason.is_empty());
    if is_whole && !provider.reason.is_empty() {
        // What failed is all of it.
        append!(out, ": ");
        Escape::for_stdout().write(out, &provider.reason);
        append!(out, "\n");
        return;
    }
    append!(out, "\n");
    if !silent(&provider.state) {
        return;
    }
    let parts: Vec<&Provider> = provider
        .parts
        .iter()
        .filter(|part| silent(&part.state))
        .collect();
    for part in parts {
        append!(out, "  - ");
        Escape::for_stdout().write(out, &part.name);
        append!(out, " ");
        Escape::for_stdout().write(out, &part.state);
        append!(out, ", {}", objects(part));
        if !part.reason.is_empty() {
            append!(out, ": ");
            Escape::for_stdout().write(out, &part.reason);
        }
        append!(out, "\n");
    }
}

/// Who writes where, how much, and what keeps it from that.
fn tell_exporter(out: &mut Vec<u8>, exporter: &Exporter) {
    append!(out, "Export: ");
    Escape::for_stdout().write(out, &exporter.name);
    append!(out, " to ");
    Escape::for_stdout().write(out, &exporter.target);
    append!(out, ", {} lines", grouped(exporter.lines));
    if exporter.lost > 0 {
        append!(out, ", {} events lost", grouped(exporter.lost));
    }
    if !exporter.active {
        append!(out, ", ended");
    }
    if !exporter.reason.is_empty() {
        append!(out, ": ");
        Escape::for_stdout().write(out, &exporter.reason);
    }
    append!(out, "\n");
}

/// How many, and how old what is known of them is.
fn objects(provider: &Provider) -> String {
    let count = grouped(provider.objects);
    match provider.age_seconds {
        0 => format!("{count} objects"),
        age => format!("{count} objects as of {age} s ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_and_what_was_lost_is_told_line_by_line() {
        let count = |what: &str, kind: &str, count, is_loss| StageCount {
            stage: "decode".to_owned(),
            what: what.to_owned(),
            kind: kind.to_owned(),
            count,
            is_loss,
        };
        let status = GetAgentStatusResponse {
            source: "probes".to_owned(),
            aggregation: "medium".to_owned(),
            hooks: vec![
                Hook {
                    name: "tcp-resets".to_owned(),
                    on: true,
                    reason: String::new(),
                },
                Hook {
                    name: "sockets".to_owned(),
                    on: false,
                    reason: "no cgroup v2".to_owned(),
                },
            ],
            counts: vec![
                count("undecodable", "short_packet", 1_234, true),
                count("malformed", "short_packet", 5, false),
                count("lost", "", 0, true),
            ],
            watched_devices: 3,
            providers: Vec::new(),
            oldest: Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 5,
            }),
            newest: Some(Timestamp {
                seconds: 1_700_000_125,
                nanos: 0,
            }),
            ring_bytes: 12_345_678,
            ring_bytes_limit: 64 << 20,
            exporters: vec![
                Exporter {
                    name: "static".to_owned(),
                    target: "/var/log/flows.log".to_owned(),
                    active: true,
                    lines: 12_345,
                    lost: 67,
                    reason: "cannot write: no space".to_owned(),
                },
                Exporter {
                    name: "audit".to_owned(),
                    target: "stdout".to_owned(),
                    ..Exporter::default()
                },
            ],
        };
        let mut out = Vec::new();
        lines(&mut out, &status);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Source: probes, 3 devices watched, aggregation medium\n\
             Off: sockets (no cgroup v2)\n\
             Ring Span: 2m5s, 2023-11-14T22:13:20Z to 2023-11-14T22:15:25Z\n\
             Ring Memory: 11.8 MiB of 64.0 MiB\n\
             Export: static to /var/log/flows.log, 12,345 lines, 67 events lost: cannot write: no space\n\
             Export: audit to stdout, 0 lines, ended\n\
             Lost Events: 1,234\n  \
             - 1,234: decode, undecodable, short_packet\n"
        );
    }

    #[test]
    fn a_provider_of_one_piece_tells_why_in_its_own_line() {
        let part = |name: &str, reason: &str| Provider {
            name: name.to_owned(),
            state: "lost".to_owned(),
            age_seconds: 3,
            objects: 2,
            reason: reason.to_owned(),
            ..Provider::default()
        };
        let provider = Provider {
            source: "hosts.yaml".to_owned(),
            parts: vec![part("nodes", ""), part("endpoints", "")],
            ..part("inventory", "hosts.yaml:2: unknown field \"nmae\"")
        };
        let mut out = Vec::new();
        tell_provider(&mut out, &provider);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Names: inventory lost (hosts.yaml), 2 objects as of 3 s ago: \
             hosts.yaml:2: unknown field \"nmae\"\n"
        );
    }

    #[test]
    fn a_provider_that_is_lost_tells_how_old_its_knowledge_is_and_why() {
        let part = |name: &str, state: &str, age_seconds, reason: &str| Provider {
            name: name.to_owned(),
            state: state.to_owned(),
            age_seconds,
            objects: 1_200,
            reason: reason.to_owned(),
            ..Provider::default()
        };
        let mut provider = Provider {
            source: "https://10.96.0.1".to_owned(),
            parts: vec![
                part("pods", "lost", 42, "Connection refused"),
                part("ciliumnodes", "absent", 0, ""),
            ],
            ..part("kubernetes", "lost", 42, "Connection refused")
        };
        let mut out = Vec::new();
        tell_provider(&mut out, &provider);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Names: kubernetes lost (https://10.96.0.1), 1,200 objects as of 42 s ago\n  \
             - pods lost, 1,200 objects as of 42 s ago: Connection refused\n"
        );
        provider.state = "connected".to_owned();
        provider.age_seconds = 0;
        let mut out = Vec::new();
        tell_provider(&mut out, &provider);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Names: kubernetes connected (https://10.96.0.1), 1,200 objects\n"
        );
    }
}

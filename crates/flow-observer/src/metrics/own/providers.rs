//! Those who tell who is who, and whom nobody knew.

use std::{fmt, sync::Arc};

use prometheus_client::encoding::DescriptorEncoder;

use super::write;
use crate::enrich::{Misses, ProviderState, ProviderStatus, Reports};

pub(super) fn encode(
    providers: &[Arc<dyn Reports>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    type Value = fn(&ProviderStatus) -> u64;
    let gauges: [(_, _, Value); 3] = [
        (
            "palomar_provider_connected",
            "Whether a provider of names, or a part of it, hears of changes.",
            |it| u64::from(it.state == ProviderState::Connected),
        ),
        (
            "palomar_provider_age_seconds",
            "How old the knowledge of a provider is: 0 as long as it hears of changes.",
            |it| it.age_seconds,
        ),
        (
            "palomar_provider_objects",
            "Objects that a provider knows.",
            |it| it.objects,
        ),
    ];
    let reports: Vec<_> = providers.iter().map(|it| it.report()).collect();
    for (name, help, value) in gauges {
        let series = reports.iter().flat_map(|report| {
            let parts = report.parts.iter().map(|part| (part.name, part));
            // One without parts speaks for itself.
            let whole = report.parts.is_empty().then_some(("", report));
            let used = parts.chain(whole);
            used.filter(|(_, it)| it.state != ProviderState::Absent)
                .map(|(part, it)| ([("provider", report.name), ("part", part)], value(it)))
        });
        write::gauges(encoder, name, help, series)?;
    }
    Ok(())
}

pub(super) fn encode_misses(misses: Misses, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Misses { private, public } = misses;
    write::counters(
        encoder,
        "palomar_enrich_misses",
        "Ends of flows that nobody knows, by whether the address is of a private network.",
        [("private", private), ("public", public)].map(|(it, count)| ([("address", it)], count)),
    )
}

/// Of files of configuration: how often a change was taken, and refused.
pub(super) fn encode_changes(
    changes: [(&'static str, (u64, u64)); 2],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let of_each = changes.into_iter().flat_map(|(config, (taken, refused))| {
        let labels = |what| [("config", config), ("what", what)];
        [(labels("taken"), taken), (labels("refused"), refused)]
    });
    write::counters(
        encoder,
        "palomar_config_changes",
        "Changed files of configuration, by whether they came into use.",
        of_each,
    )
}

//! Where events come from: how many were read, which optional parts are on, and how long the programs
//! in the kernel run.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::write;
use crate::source::{Hook, RunTimes};

pub(super) fn encode_hooks(hooks: &[Hook], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let series = hooks.iter();
    write::gauges(
        encoder,
        "palomar_hook_on",
        "Whether an optional part of the source is on.",
        series.map(|hook| ([("hook", hook.name)], u64::from(hook.off.is_none()))),
    )
}

pub(super) fn encode_run_times(
    run_times: &RunTimes,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let all = run_times.all();
    if all.is_empty() {
        return Ok(());
    }
    write::counters(
        encoder,
        "palomar_probe_runs",
        "How often a program in the kernel ran while that was measured.",
        all.iter()
            .map(|(name, it)| ([("program", &**name)], it.runs)),
    )?;
    write::seconds(
        encoder,
        "palomar_probe_run_seconds",
        "For how long a program in the kernel ran, with the measuring itself.",
        all.iter()
            .map(|(name, it)| ([("program", &**name)], it.time.as_secs_f64())),
    )
}

//! The alerts, by Prometheus' own tool.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::{
    Rule,
    files::{ALERTS, deployed},
};

pub(crate) const RULES: &[Rule] = &[
    ("alerts_are_rules_of_prometheus", check),
    ("alerts_fire_when_they_should_and_not_otherwise", test),
];

fn check() -> Result<()> {
    promtool(&["check", "rules"], ALERTS)
}

fn test() -> Result<()> {
    promtool(&["test", "rules"], "prometheus/palomar.rules.test.yaml")
}

fn promtool(arguments: &[&str], path: &str) -> Result<()> {
    let mut command = Command::new("promtool");
    let output = command.args(arguments).arg(deployed(path)).output()?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

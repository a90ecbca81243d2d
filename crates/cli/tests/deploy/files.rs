//! The files themselves, and what is asked for in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::Rule;

pub(crate) const RULES: &[Rule] = &[
    (
        "each_panel_asks_the_chosen_source_about_the_chosen_instances",
        panels,
    ),
    ("panels_do_not_lie_on_each_other", layout),
    ("each_alert_says_what_is_wrong_and_how_bad", alerts),
];

/// Of a repository's file.
pub(crate) fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(path)
}

pub(crate) const ALERTS: &str = "prometheus/palomar.rules.yaml";
const DASHBOARD: &str = "grafana/palomar.json";

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Dashboard {
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Panel {
    id: u32,
    title: String,
    r#type: String,
    #[serde(default)]
    description: String,
    grid_pos: Place,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Place {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
}

#[derive(Deserialize)]
struct Target {
    expr: String,
    datasource: Source,
}

#[derive(Deserialize)]
struct Source {
    uid: String,
}

fn rule_file() -> Result<RuleFile> {
    let text = fs::read_to_string(deployed(ALERTS))?;
    serde_saphyr::from_str(&text).context(ALERTS)
}

fn dashboard() -> Result<Dashboard> {
    let text = fs::read_to_string(deployed(DASHBOARD))?;
    serde_json::from_str(&text).context(DASHBOARD)
}

/// What alerts and dashboard ask for: metrics, each with who asks.
pub(crate) fn wanted() -> Result<BTreeMap<String, String>> {
    let mut wanted = BTreeMap::new();
    for group in rule_file()?.groups {
        for alert in group.rules {
            let asking = format!("the alert {} of {}", alert.alert, group.name);
            wanted.extend(metrics(&alert.expr).map(|it| (it, asking.clone())));
        }
    }
    for panel in dashboard()?.panels {
        let asking = format!("the panel {:?}", panel.title);
        for target in panel.targets {
            wanted.extend(metrics(&target.expr).map(|it| (it, asking.clone())));
        }
    }
    Ok(wanted)
}

/// The metrics of an expression, by how ours begin.
fn metrics(expression: &str) -> impl Iterator<Item = String> {
    const BEGINNINGS: [&str; 4] = ["palomar_", "hubble_", "process_", "grpc_server_"];
    let words = expression.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let ours = words.filter(|word| BEGINNINGS.iter().any(|it| word.starts_with(it)));
    ours.map(str::to_owned)
}

fn panels() -> Result<()> {
    let panels = dashboard()?.panels;
    let ids: BTreeSet<u32> = panels.iter().map(|it| it.id).collect();
    ensure!(ids.len() == panels.len(), "two panels have the same id");
    for panel in panels.iter().filter(|it| it.r#type != "row") {
        let title = &panel.title;
        ensure!(!panel.description.is_empty(), "{title}: no description");
        ensure!(!panel.targets.is_empty(), "{title}: asks for nothing");
        for Target { expr, datasource } in &panel.targets {
            ensure!(
                datasource.uid == "${datasource}",
                "{title}: {}",
                datasource.uid
            );
            let asked = metrics(expr).count();
            let chosen = expr.matches(r#"instance=~"$instance""#).count();
            ensure!(asked > 0 && asked == chosen, "{title}: {expr}");
        }
    }
    Ok(())
}

fn layout() -> Result<()> {
    let mut taken = BTreeMap::new();
    for Panel {
        title, grid_pos, ..
    } in dashboard()?.panels
    {
        let Place { x, y, w, h } = grid_pos;
        ensure!(x + w <= 24, "{title} is too wide");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = taken.insert(cell, title.clone()) {
                anyhow::bail!("{title} lies on {other}");
            }
        }
    }
    Ok(())
}

fn alerts() -> Result<()> {
    for Group { name, rules } in rule_file()?.groups {
        ensure!(!rules.is_empty(), "{name} is empty");
        for alert in rules {
            let severity = alert.labels.get("severity").map(String::as_str);
            ensure!(
                matches!(severity, Some("warning" | "critical")),
                "{}: severity {severity:?}",
                alert.alert
            );
            for annotation in ["summary", "description"] {
                let is_there = alert.annotations.contains_key(annotation);
                ensure!(is_there, "{}: no {annotation}", alert.alert);
            }
        }
    }
    Ok(())
}

//! How workloads come to identities: what was typed.

use anyhow::bail;
use flow_observer::enrich::{DualStack, LabelFilter, Settings};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Identities")]
#[group(skip)]
pub(super) struct Args {
    /// Name of the cluster; the same on all its nodes
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = cluster_name)]
    cluster_name: String,

    /// Which labels count for identities and are shown, as Cilium's `labels`: patterns with commas
    /// between, added to the default ones. `[SOURCE:]KEY` includes keys that begin so, and then
    /// nothing else counts; `[SOURCE:]!KEY` excludes them. KEY is a regular expression. The same on
    /// all nodes of a cluster; may be repeated
    #[arg(long, value_name = "PATTERNS")]
    labels: Vec<String>,

    /// Whether what is outside of the cluster is `world-ipv4` and `world-ipv6` instead of `world`:
    /// `on`, `off`, or `auto` for on as soon as a pod has addresses of both families
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    dual_stack: DualStack,
}

impl Args {
    pub(super) fn settings(self) -> anyhow::Result<Settings> {
        Ok(Settings {
            cluster_name: self.cluster_name.into(),
            labels: LabelFilter::with_patterns(&self.labels)?,
            dual_stack: self.dual_stack,
        })
    }
}

fn cluster_name(text: &str) -> anyhow::Result<String> {
    if text.is_empty() {
        bail!("expected a name");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn settings_of(line: &[&str]) -> Result<Settings, String> {
        let command = Args::augment_args(clap::Command::new("agent").no_binary_name(true));
        let matches = command
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        let args = Args::from_arg_matches(&matches).unwrap();
        args.settings().map_err(|error| error.to_string())
    }

    #[test]
    fn patterns_of_labels_come_in_lists_and_one_by_one() {
        let settings = settings_of(&["--labels", "k8s:app,k8s:team", "--labels", "!k8s"]).unwrap();
        assert!(settings.labels.is_relevant("k8s:team=a"));
        assert!(!settings.labels.is_relevant("k8s:version=1"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let error = settings_of(&["--labels", "app("]).unwrap_err();
        assert!(error.contains("label pattern \"app(\""), "{error}");
        let error = settings_of(&["--dual-stack", "perhaps"]).unwrap_err();
        assert!(error.contains("expected auto, on or off"), "{error}");
        assert!(settings_of(&["--cluster-name", ""]).is_err());
    }
}

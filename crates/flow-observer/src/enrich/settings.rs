//! How facts are to be understood.

use std::{str::FromStr, sync::Arc};

use super::LabelFilter;

/// What is the same for all nodes of a cluster, so that all come to the same identities.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster of everything that names no other.
    pub cluster_name: Arc<str>,
    /// Labels that count for identities and are shown.
    pub labels: LabelFilter,
    /// Whether the world has an identity for each family of addresses.
    pub dual_stack: DualStack,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_name: "default".into(),
            labels: LabelFilter::default(),
            dual_stack: DualStack::Auto,
        }
    }
}

/// Whether a cluster has addresses of both families. Where it has, Hubble calls what is outside of
/// it `world-ipv4` and `world-ipv6` instead of `world`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DualStack {
    /// As soon as there is a pod that has both.
    #[default]
    Auto,
    /// Yes.
    On,
    /// No.
    Off,
}

impl FromStr for DualStack {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("expected auto, on or off"),
        }
    }
}

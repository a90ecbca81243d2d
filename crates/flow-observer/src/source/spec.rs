//! Which source: what `--source` says.

use std::{fmt, path::PathBuf, str::FromStr};

use super::Pace;

/// Where Cilium's agent offers its events.
pub const CILIUM_MONITOR_SOCKET: &str = "/var/run/cilium/monitor1_2.sock";

/// Where events come from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SourceSpec {
    /// Our own probes in the kernel.
    #[default]
    Probes,
    /// Nowhere: the ring stays empty.
    None,
    /// The monitor socket of Cilium's agent.
    Cilium(PathBuf),
    /// Cilium's event map, by the path it is pinned at.
    CiliumMap(PathBuf),
    /// A capture file; `-` is standard input.
    Pcap(PathBuf),
    /// Flows that were exported as JSON; `-` is standard input.
    Replay(PathBuf),
}

/// A source, and how to use it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SourceOptions {
    /// Which.
    pub spec: SourceSpec,
    /// Play files at the pace at which they were recorded.
    pub realtime: bool,
    /// Read Cilium's event map although that takes it away from whoever reads it now.
    pub take_over: bool,
    /// How our own probes are to work.
    #[cfg(feature = "probes")]
    pub probes: super::probes::ProbeConfig,
}

impl SourceOptions {
    /// How packets are aggregated before they are reported; empty where each is.
    pub(crate) fn aggregation(&self) -> &'static str {
        match self.spec {
            #[cfg(feature = "probes")]
            SourceSpec::Probes => match self.probes.aggregation {
                super::probes::Aggregation::None => "none",
                super::probes::Aggregation::Low => "low",
                super::probes::Aggregation::Medium => "medium",
                super::probes::Aggregation::Maximum => "maximum",
            },
            _ => "",
        }
    }

    /// How fast files are read.
    pub(super) fn pace(&self) -> Pace {
        if self.realtime {
            Pace::Realtime
        } else {
            Pace::FullSpeed
        }
    }
}

impl From<SourceSpec> for SourceOptions {
    fn from(spec: SourceSpec) -> Self {
        Self {
            spec,
            ..Self::default()
        }
    }
}

impl SourceSpec {
    /// How sources are named, for help and errors.
    pub const FORMS: &str =
        "probes, none, cilium[:SOCKET], cilium-map:PATH, pcap:FILE or replay:FILE";

    /// Whether it hands out what there is and ends, and so is best read at once and in full.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        matches!(self, Self::Pcap(_) | Self::Replay(_))
    }
}

/// Why a text names no source.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown source {given:?}, expected {}", SourceSpec::FORMS)]
pub struct UnknownSource {
    /// What was given.
    given: String,
}

impl FromStr for SourceSpec {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        let (kind, path) = match text.split_once(':') {
            Some((kind, path)) => (kind, (!path.is_empty()).then(|| PathBuf::from(path))),
            None => (text, None),
        };
        let has_colon = text.contains(':');
        match (kind, path) {
            ("probes", None) if !has_colon => Ok(Self::Probes),
            ("none", None) if !has_colon => Ok(Self::None),
            ("cilium", None) if !has_colon => Ok(Self::Cilium(CILIUM_MONITOR_SOCKET.into())),
            ("cilium", Some(path)) => Ok(Self::Cilium(path)),
            ("cilium-map", Some(path)) => Ok(Self::CiliumMap(path)),
            ("pcap", Some(path)) => Ok(Self::Pcap(path)),
            ("replay", Some(path)) => Ok(Self::Replay(path)),
            _ => Err(UnknownSource {
                given: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probes => f.write_str("probes"),
            Self::None => f.write_str("none"),
            Self::Cilium(path) => write!(f, "cilium:{}", path.display()),
            Self::CiliumMap(path) => write!(f, "cilium-map:{}", path.display()),
            Self::Pcap(path) => write!(f, "pcap:{}", path.display()),
            Self::Replay(path) => write!(f, "replay:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_kind_and_where_it_needs_one_a_path() {
        for text in [
            "probes",
            "none",
            "cilium:/run/x.sock",
            "cilium-map:/sys/fs/bpf/tc/globals/cilium_events",
            "pcap:-",
            "pcap:a:b.pcap",
            "replay:flows.json",
        ] {
            assert_eq!(text.parse::<SourceSpec>().unwrap().to_string(), text);
        }
        assert_eq!(
            "cilium".parse::<SourceSpec>().unwrap().to_string(),
            format!("cilium:{CILIUM_MONITOR_SOCKET}")
        );
    }

    #[test]
    fn what_is_no_source_is_told_what_is() {
        for text in ["", "pcap", "pcap:", "probes:", "probe", "cilium:", "none:x"] {
            let error = text.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(error.contains("cilium-map:PATH"), "{error}");
        }
    }
}

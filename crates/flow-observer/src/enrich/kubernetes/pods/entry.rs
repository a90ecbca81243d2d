//! What is kept of a pod: a few hundred bytes, most of them shared with others like it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    enrich::kubernetes::{identities::LabelSet, intern::Shared, objects, workload},
    record::Workload,
};

/// Values that pods share.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pub(super) labels: Shared<[Box<str>]>,
    pub(super) names: Shared<str>,
    pub(super) workloads: Shared<Workload>,
    pub(super) ips: Shared<[IpAddr]>,
}

/// A pod that is, or will be, on the network.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// Its own; those of the node are not its own.
    pub(super) ips: Arc<[IpAddr]>,
    pub(super) labels: LabelSet,
    /// Empty as long as it has none.
    pub(super) node: Arc<str>,
    pub(super) service_account: Arc<str>,
    pub(super) workload: Option<Arc<Workload>>,
    /// Who has an address that two claim: the greater.
    pub(super) precedence: Precedence,
}

/// A pod keeps its address until it is gone; but one that is going away may have given it back
/// already, and so may an older one that nobody has heard of for long.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Precedence {
    stays: bool,
    /// When the node took it on, or it was made: digits of the date and time.
    since: u64,
}

impl Entry {
    /// `None` for a pod that has run to its end.
    pub(super) fn new(pod: &objects::Pod, pools: &mut Pools) -> Option<Self> {
        let objects::Pod {
            metadata,
            spec,
            status,
        } = pod;
        if matches!(status.phase.as_str(), "Succeeded" | "Failed") {
            return None;
        }
        let mut ips: Vec<IpAddr> = Vec::new();
        if !spec.host_network {
            let texts = status.pod_ips.iter().map(|it| &it.ip);
            for ip in texts.chain([&status.pod_ip]) {
                ips.extend(ip.parse().ok().filter(|ip| !ips.contains(ip)));
            }
        }
        let labels: Vec<Box<str>> = metadata
            .labels
            .iter()
            .map(|(key, value)| format!("k8s:{key}={value}").into())
            .collect();
        let since = status
            .start_time
            .as_deref()
            .or(metadata.creation_timestamp.as_deref());
        Some(Self {
            // Nearly all pods have addresses of their own: nothing to share but the empty list.
            ips: if ips.is_empty() {
                pools.ips.share(ips)
            } else {
                ips.into()
            },
            labels: pools.labels.share(labels),
            node: pools.names.share(spec.node_name.as_str()),
            service_account: pools.names.share(spec.service_account_name.as_str()),
            workload: workload::of(metadata).map(|it| pools.workloads.share(it)),
            precedence: Precedence {
                stays: metadata.deletion_timestamp.is_none(),
                since: since.map_or(0, digits),
            },
        })
    }
}

/// `2026-01-31T09:30:00Z` as 20260131093000: greater is later.
fn digits(time: &str) -> u64 {
    time.bytes()
        .filter(u8::is_ascii_digit)
        .take("20260131093000".len())
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// What Cilium says about a pod.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Cilium {
    pub(super) id: Option<u16>,
    pub(super) identity: Option<u32>,
    pub(super) labels: LabelSet,
    pub(super) ips: Box<[IpAddr]>,
    /// The address of its node.
    pub(super) node: Arc<str>,
}

impl Cilium {
    pub(super) fn new(endpoint: &objects::CiliumEndpoint, pools: &mut Pools) -> Self {
        let status = &endpoint.status;
        let addresses = status.networking.addressing.iter();
        let ips = addresses.flat_map(|it| [&it.ipv4, &it.ipv6]);
        let labels: Vec<Box<str>> = status
            .identity
            .labels
            .iter()
            .map(|label| label.as_str().into())
            .collect();
        Self {
            id: u16::try_from(status.id).ok().filter(|id| *id != 0),
            identity: u32::try_from(status.identity.id).ok().filter(|id| *id != 0),
            labels: pools.labels.share(labels),
            ips: ips.filter_map(|ip| ip.parse().ok()).collect(),
            node: pools.names.share(status.networking.node.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_by_their_digits() {
        assert_eq!(digits("2026-01-31T09:30:00Z"), 20_260_131_093_000);
        assert!(digits("2026-01-31T09:30:01Z") > digits("2026-01-31T09:30:00.999Z"));
        assert_eq!(digits("soon"), 0);
    }
}

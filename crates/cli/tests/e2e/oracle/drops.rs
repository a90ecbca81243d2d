//! Drops: the packets that the capture sees vanish, and no others.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Testimony,
    packet::{Device, Tuple, Way, must_agree},
    told::Told,
    traffic,
    tshark::Captured,
    vanish::{self, Hop, Kind},
};

/// How often something was dropped, by node, reason and tuple.
pub(crate) type Drops = BTreeMap<(String, String, Tuple), usize>;

pub(super) fn agree() -> Result<()> {
    let mut kinds = Vec::new();
    let testimony = Testimony::take(false, |cluster| {
        kinds = vanish::make(cluster)?;
        Ok(())
    })?;
    // Also what was said about the drops, such as resets and errors of ICMP.
    let (captured, told) = testimony.packets();
    must_agree(&captured, &told)?;
    let mut expected = Drops::new();
    for kind in &kinds {
        let counted = vanished(kind, &testimony.captured).with_context(|| kind.name)?;
        for (tuple, times) in counted {
            let key = (kind.node.to_owned(), kind.reason.to_owned(), tuple);
            *expected.entry(key).or_default() += times;
        }
    }
    must_be(&testimony.told, &expected)
}

/// The drops among the flows.
fn drops(told: &[Told]) -> Drops {
    let mut drops = Drops::new();
    for it in told {
        if let Told::Dropped {
            node,
            tuple,
            reason,
            ..
        } = it
        {
            *drops
                .entry((node.clone(), reason.clone(), *tuple))
                .or_default() += 1;
        }
    }
    drops
}

/// Fails unless exactly these were told.
pub(super) fn must_be(told: &[Told], expected: &Drops) -> Result<()> {
    let told = drops(told);
    let only_told = told.keys().filter(|it| !expected.contains_key(it));
    let differences: Vec<String> = expected
        .keys()
        .chain(only_told)
        .map(|key| (key, expected.get(key), told.get(key)))
        .filter(|(_, expected, told)| expected.unwrap_or(&0) != told.unwrap_or(&0))
        .map(|((node, reason, tuple), expected, told)| {
            format!("\n{node} {reason} {tuple}: vanished {expected:?}, told {told:?}")
        })
        .collect();
    if !differences.is_empty() {
        bail!(
            "{} drops differ:{}",
            differences.len(),
            differences[..differences.len().min(20)].concat()
        );
    }
    Ok(())
}

/// How often the capture saw each packet of this kind go its way, and nowhere else.
fn vanished(kind: &Kind, captured: &[Captured]) -> Result<BTreeMap<Tuple, usize>> {
    let mut sent: BTreeMap<Tuple, usize> = BTreeMap::new();
    for tuple in &kind.sent {
        *sent.entry(*tuple).or_default() += 1;
    }
    ensure!(!sent.is_empty(), "nothing sent");
    for (tuple, times) in &sent {
        let mut seen: BTreeMap<Hop<'_>, usize> = BTreeMap::new();
        for Captured { packet, .. } in captured {
            let place = &packet.place;
            if packet.tuple == *tuple {
                *seen
                    .entry((&place.node, place.device, place.way))
                    .or_default() += 1;
            }
        }
        let expected = kind.path.iter().map(|&hop| (hop, *times)).collect();
        ensure!(
            seen == expected,
            "{tuple}: captured at {seen:?}, expected at {expected:?} and nowhere else"
        );
    }
    Ok(sent)
}

/// The drops that the exchange makes: what came to the bridge of the first node and did not go on.
pub(super) fn lost_on_the_way(captured: &[Captured]) -> Drops {
    let mut lost = Drops::new();
    let times = |device, way, tuple| {
        let there = captured.iter().filter(|Captured { packet, .. }| {
            let place = &packet.place;
            place.node == "node-1"
                && (place.device, place.way) == (device, way)
                && packet.tuple == tuple
        });
        there.count()
    };
    for Captured { packet, .. } in captured {
        let tuple = packet.tuple;
        if tuple.has_port(traffic::LOSSY)
            && tuple
                .transport
                .ports()
                .is_some_and(|it| it.1 == traffic::LOSSY)
        {
            let came = times(Device::Bridge, Way::In, tuple);
            let left = times(Device::Network, Way::Out, tuple);
            let key = ("node-1".to_owned(), "NETFILTER_DROP".to_owned(), tuple);
            lost.insert(key, came - left.min(came));
        }
    }
    lost
}

//! Who is who by Cilium's numbers.
//!
//! A Cilium agent numbers the endpoints of its node, and the datapath's records tell the numbers of
//! the endpoints they are about. Directions follow from them, and clients are used to see them. The
//! agent does not hand out its list over the monitor; so numbers are learned from records that say
//! which address they belong to. Names and owners come from the snapshot as always, the identity
//! from the record where it has one.

use std::{net::IpAddr, sync::Arc};

use foldhash::HashMap;

use super::{Snapshot, identity};
use crate::record::{Endpoint, Party};

/// Endpoints of a node whose numbers are remembered. Nodes run some hundred; if there are ever more,
/// all are forgotten, and learned anew within moments.
const MAX_LOCAL: usize = 4096;

/// Numbers of local endpoints, as far as records told them, and who has the reserved identities.
#[derive(Debug)]
pub(crate) struct CiliumEndpoints {
    local: HashMap<IpAddr, Local>,
    reserved: Vec<Arc<Endpoint>>,
    unknown: Arc<Endpoint>,
}

/// An endpoint of this node.
#[derive(Debug, Default)]
struct Local {
    /// 0 as long as nobody told.
    id: u16,
    /// As it was known before, and the same with the number; the latest first. What the snapshot
    /// has not is known by the record's identity, which a connection's two sides may tell
    /// differently: one place would be written anew with each packet.
    known_as: [Option<(Arc<Endpoint>, Arc<Endpoint>)>; 2],
}

impl Default for CiliumEndpoints {
    fn default() -> Self {
        let reserved = identity::RESERVED
            .iter()
            .map(|(number, _)| identity::reserved(*number))
            .collect();
        Self {
            local: HashMap::default(),
            reserved,
            unknown: Arc::default(),
        }
    }
}

impl CiliumEndpoints {
    /// A record told that this address is that of the endpoint with this number.
    pub(crate) fn learn(&mut self, address: IpAddr, id: u16) {
        if id == 0 || address.is_unspecified() {
            return;
        }
        let local = self.local(address);
        if local.id != id {
            *local = Local {
                id,
                ..Local::default()
            };
        }
    }

    /// The agent told that this endpoint is gone; its address may soon be another's.
    pub(crate) fn forget(&mut self, id: u64) {
        self.local.retain(|_, local| u64::from(local.id) != id);
    }

    /// The number of the endpoint that has this address, if it is known.
    pub(crate) fn id(&self, address: IpAddr) -> Option<u16> {
        let local = self.local.get(&address)?;
        (local.id != 0).then_some(local.id)
    }

    /// Whether a packet comes from the endpoint with this number, on whose behalf the datapath ran;
    /// `None` when there is none, and as long as nobody told whose number it is.
    pub(crate) fn is_from(&self, id: u16, ends: Option<(IpAddr, IpAddr)>) -> Option<bool> {
        if id == 0 {
            return None;
        }
        let Some((source, destination)) = ends else {
            return Some(false);
        };
        match self.id(source) {
            Some(of_source) => Some(of_source == id),
            None => (self.id(destination) == Some(id)).then_some(false),
        }
    }

    /// The endpoint with this number, if it is known.
    pub(crate) fn by_id(&self, id: u16) -> Option<&Endpoint> {
        self.local
            .values()
            .find(|local| local.id == id)
            .and_then(|local| local.known_as[0].as_ref())
            .map(|(_, described)| &**described)
    }

    /// Who is behind an address, given the identity that the record has for it; 0 for none.
    pub(crate) fn party(
        &mut self,
        snapshot: &Snapshot,
        address: Option<IpAddr>,
        identity: u32,
    ) -> Party {
        let known = address.map_or(snapshot.unknown(), |it| snapshot.endpoint(it));
        let known = Arc::clone(self.with_identity(known, identity));
        let endpoint = match address {
            Some(address) if known.id != 0 || self.local.contains_key(&address) => {
                self.numbered(address, known)
            }
            _ => known,
        };
        let identity = match identity {
            0 => endpoint.identity,
            told => told,
        };
        Party {
            identity,
            ..Party::of(&endpoint)
        }
    }

    /// A workload is who the snapshot says it is, whatever its identity is called there. Of
    /// everything else, the identity is all that there is to know.
    fn with_identity<'a>(&'a self, known: &'a Arc<Endpoint>, identity: u32) -> &'a Arc<Endpoint> {
        let is_workload = known.id != 0 || !known.pod_name.is_empty();
        if identity == 0 || identity == known.identity || is_workload {
            return known;
        }
        // Numbers begin with 1, and 0 was taken care of.
        self.reserved
            .get(identity as usize - 1)
            .unwrap_or(&self.unknown)
    }

    /// An endpoint of this node with Cilium's number instead of ours. Made anew only when the
    /// number or what is known of the endpoint changes.
    fn numbered(&mut self, address: IpAddr, known: Arc<Endpoint>) -> Arc<Endpoint> {
        let local = self.local(address);
        for (before, described) in local.known_as.iter().flatten() {
            if Arc::ptr_eq(before, &known) {
                return Arc::clone(described);
            }
        }
        let described = Arc::new(Endpoint {
            id: local.id.into(),
            ..Endpoint::clone(&known)
        });
        let latest = Some((known, Arc::clone(&described)));
        local.known_as = [latest, local.known_as[0].take()];
        described
    }

    fn local(&mut self, address: IpAddr) -> &mut Local {
        if self.local.len() >= MAX_LOCAL && !self.local.contains_key(&address) {
            self.local.clear();
        }
        self.local.entry(address).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::{
        Directory,
        inventory::{self, Inventory},
    };

    const POD: [u8; 4] = [10, 0, 1, 7];
    const ELSEWHERE: [u8; 4] = [192, 0, 2, 9];

    fn snapshot() -> Arc<Snapshot> {
        let pod = inventory::Endpoint {
            ips: vec![POD.into()],
            namespace: "shop".to_owned(),
            pod: "web-0".to_owned(),
            labels: Default::default(),
            node: Some("n1".to_owned()),
            workload: None,
            ..inventory::Endpoint::default()
        };
        let inventory = Inventory {
            endpoints: vec![pod],
            ..Inventory::default()
        };
        Directory::new("n1", inventory).snapshot()
    }

    #[test]
    fn the_records_identity_wins_and_names_what_is_no_workload() {
        let (snapshot, mut endpoints) = (snapshot(), CiliumEndpoints::default());
        let mut labels = |address: [u8; 4], identity| {
            let party = endpoints.party(&snapshot, Some(address.into()), identity);
            (party.identity, party.endpoint.labels.join(" "))
        };
        assert_eq!(labels(ELSEWHERE, 0), (2, "reserved:world".to_owned()));
        assert_eq!(labels(ELSEWHERE, 1), (1, "reserved:host".to_owned()));
        assert_eq!(
            labels(ELSEWHERE, 7),
            (7, "reserved:kube-apiserver reserved:remote-node".to_owned())
        );
        assert_eq!(labels(ELSEWHERE, 16_777_217), (16_777_217, String::new()));
        let (identity, pod) = labels(POD, 25_001);
        assert_eq!(identity, 25_001);
        assert!(
            pod.contains("k8s:io.kubernetes.pod.namespace=shop"),
            "{pod}"
        );
    }

    #[test]
    fn without_an_address_the_identity_is_all_there_is() {
        let (snapshot, mut endpoints) = (snapshot(), CiliumEndpoints::default());
        let party = endpoints.party(&snapshot, None, 4);
        assert_eq!(*party.endpoint.labels, ["reserved:health"]);
        let party = endpoints.party(&snapshot, None, 0);
        assert_eq!((party.identity, party.endpoint.labels.len()), (0, 0));
    }

    #[test]
    fn a_local_endpoint_has_ciliums_number_once_it_is_known() {
        let (snapshot, mut endpoints) = (snapshot(), CiliumEndpoints::default());
        let seen = |endpoints: &mut CiliumEndpoints| {
            endpoints
                .party(&snapshot, Some(POD.into()), 25_001)
                .endpoint
        };
        assert_eq!(seen(&mut endpoints).id, 0, "our number is not Cilium's");
        endpoints.learn(POD.into(), 42);
        let first = seen(&mut endpoints);
        assert_eq!((first.id, &*first.pod_name), (42, "web-0"));
        assert!(Arc::ptr_eq(&first, &seen(&mut endpoints)), "made once");
        assert_eq!(endpoints.id(POD.into()), Some(42));
        assert_eq!(endpoints.by_id(42).unwrap().pod_name.as_ref(), "web-0");
        endpoints.forget(42);
        assert_eq!(endpoints.id(POD.into()), None);
        assert_eq!(seen(&mut endpoints).id, 0);
    }

    #[test]
    fn who_sent_a_packet_is_told_only_where_it_is_known() {
        let mut endpoints = CiliumEndpoints::default();
        let out = Some((IpAddr::from(POD), IpAddr::from(ELSEWHERE)));
        let back = Some((IpAddr::from(ELSEWHERE), IpAddr::from(POD)));
        assert_eq!(endpoints.is_from(42, out), None);
        endpoints.learn(POD.into(), 42);
        assert_eq!(endpoints.is_from(42, out), Some(true));
        assert_eq!(endpoints.is_from(42, back), Some(false));
        assert_eq!(endpoints.is_from(7, out), Some(false));
        assert_eq!(endpoints.is_from(7, back), None);
        assert_eq!(endpoints.is_from(0, out), None);
        assert_eq!(endpoints.is_from(42, None), Some(false));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut endpoints = CiliumEndpoints::default();
        for number in 0..3 * MAX_LOCAL as u32 {
            endpoints.learn(IpAddr::V4((number + 1).into()), 1);
            assert!(endpoints.local.len() <= MAX_LOCAL);
        }
    }
}

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
    local: Locals,
    reserved: Vec<Arc<Endpoint>>,
    unknown: Arc<Endpoint>,
}

/// By address, as [`key`] writes it.
type Locals = HashMap<u128, Local>;

/// What a record tells of one end of its packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The address; `None` for a packet without.
    pub(crate) address: Option<IpAddr>,
    /// The identity, 0 for none.
    pub(crate) identity: u32,
    /// The endpoint's number.
    pub(crate) number: Told,
}

/// What a record tells of an endpoint's number. Nobody has the number 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// It is this one.
    Number(u16),
    /// It is this one if the endpoint is one of this node and no record has told another.
    Perhaps(u16),
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
    /// This address is that of the endpoint with this number.
    pub(crate) fn learn(&mut self, address: IpAddr, id: u16) {
        let told = Told::Number(id);
        if told.is_certain(address) {
            remember(&mut self.local, address).hear(told, false);
        }
    }

    /// The agent told that this endpoint is gone; its address may soon be another's.
    pub(crate) fn forget(&mut self, id: u64) {
        self.local.retain(|_, local| u64::from(local.id) != id);
    }

    /// The endpoint with this number, if it is known.
    pub(crate) fn by_id(&self, id: u16) -> Option<&Endpoint> {
        self.local
            .values()
            .find(|local| local.id == id)
            .and_then(|local| local.known_as[0].as_ref())
            .map(|(_, described)| &**described)
    }

    /// Who is at one end of a record's packet, and the number of that endpoint; 0 as long as nobody
    /// told.
    pub(crate) fn party(&mut self, snapshot: &Snapshot, end: End) -> (Party, u16) {
        let known = end
            .address
            .map_or(snapshot.unknown(), |it| snapshot.endpoint(it));
        self.party_known_as(known, end)
    }

    /// As [`party`](Self::party), where the snapshot was asked already. The table is asked once, and
    /// what the record tells is learned on the way.
    #[inline(always)]
    pub(crate) fn party_known_as(&mut self, known: &Arc<Endpoint>, end: End) -> (Party, u16) {
        let Self {
            local,
            reserved,
            unknown,
        } = self;
        let is_local = known.id != 0;
        let known = with_identity(known, end.identity, reserved, unknown);
        let local = match end.address {
            None => None,
            Some(address) => match local.get_mut(&key(address)) {
                Some(local) => Some(local),
                None if is_local || end.number.is_certain(address) => {
                    Some(remember(local, address))
                }
                None => None,
            },
        };
        let (endpoint, number) = match local {
            Some(local) => {
                local.hear(end.number, is_local);
                let id = local.id;
                (local.numbered(known), id)
            }
            None => (known, 0),
        };
        let mut party = Party::of(endpoint);
        if end.identity != 0 {
            party.identity = end.identity;
        }
        (party, number)
    }
}

/// A workload is who the snapshot says it is, whatever its identity is called there. Of everything
/// else, the identity is all that there is to know.
fn with_identity<'a>(
    known: &'a Arc<Endpoint>,
    identity: u32,
    reserved: &'a [Arc<Endpoint>],
    unknown: &'a Arc<Endpoint>,
) -> &'a Arc<Endpoint> {
    let is_workload = known.id != 0 || !known.pod_name.is_empty();
    if identity == 0 || identity == known.identity || is_workload {
        return known;
    }
    // Numbers begin with 1, and 0 was taken care of.
    reserved.get(identity as usize - 1).unwrap_or(unknown)
}

/// What is remembered of an address; nothing yet of a new one.
fn remember(locals: &mut Locals, address: IpAddr) -> &mut Local {
    let key = key(address);
    if locals.len() >= MAX_LOCAL && !locals.contains_key(&key) {
        locals.clear();
    }
    locals.entry(key).or_default()
}

/// An address as one number, which is hashed faster than an [`IpAddr`].
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Told {
    /// Whether it makes the address one of this node.
    fn is_certain(self, address: IpAddr) -> bool {
        matches!(self, Self::Number(1..)) && !address.is_unspecified()
    }
}

impl Local {
    /// Takes in what a record tells. With another number, everything else is another's.
    fn hear(&mut self, told: Told, is_workload_here: bool) {
        let id = match told {
            Told::Number(id) => id,
            Told::Perhaps(id) if is_workload_here && self.id == 0 => id,
            Told::Perhaps(_) | Told::Nothing => 0,
        };
        if id != 0 && id != self.id {
            *self = Self {
                id,
                ..Self::default()
            };
        }
    }

    /// This endpoint, known as such, with Cilium's number instead of ours. Made anew only when the
    /// number or what is known of the endpoint changes.
    fn numbered(&mut self, known: &Arc<Endpoint>) -> &Arc<Endpoint> {
        let is_known = |place: &Option<(Arc<Endpoint>, _)>| {
            place
                .as_ref()
                .is_some_and(|(before, _)| Arc::ptr_eq(before, known))
        };
        let place = match self.known_as.iter().position(is_known) {
            Some(place) => place,
            None => {
                self.known_as.swap(0, 1);
                self.known_as[0] = None;
                0
            }
        };
        let (_, described) = self.known_as[place].get_or_insert_with(|| {
            let described = Endpoint {
                id: self.id.into(),
                ..Endpoint::clone(known)
            };
            (Arc::clone(known), Arc::new(described))
        });
        described
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

    fn end(address: [u8; 4], identity: u32, number: Told) -> End {
        End {
            address: Some(address.into()),
            identity,
            number,
        }
    }

    #[test]
    fn the_records_identity_wins_and_names_what_is_no_workload() {
        let (snapshot, mut endpoints) = (snapshot(), CiliumEndpoints::default());
        let mut labels = |address: [u8; 4], identity| {
            let (party, _) = endpoints.party(&snapshot, end(address, identity, Told::Nothing));
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
        let mut without_address = |identity| {
            let end = End {
                address: None,
                identity,
                number: Told::Number(42),
            };
            endpoints.party(&snapshot, end)
        };
        let (party, id) = without_address(4);
        assert_eq!(
            (party.endpoint.labels.join(" "), id),
            ("reserved:health".to_owned(), 0)
        );
        let (party, _) = without_address(0);
        assert_eq!((party.identity, party.endpoint.labels.len()), (0, 0));
    }

    #[test]
    fn a_local_endpoint_has_ciliums_number_once_it_is_known() {
        let (snapshot, mut endpoints) = (snapshot(), CiliumEndpoints::default());
        let mut seen = |number| endpoints.party(&snapshot, end(POD, 25_001, number));
        let (party, id) = seen(Told::Nothing);
        assert_eq!(
            (party.endpoint.id, id),
            (0, 0),
            "our number is not Cilium's"
        );
        let (first, id) = seen(Told::Number(42));
        assert_eq!((first.endpoint.id, id), (42, 42));
        assert_eq!(&*first.endpoint.pod_name, "web-0");
        for again in [Told::Nothing, Told::Number(0), Told::Number(42)] {
            let (party, id) = seen(again);
            assert!(Arc::ptr_eq(&first.endpoint, &party.endpoint), "made once");
            assert_eq!(id, 42);
        }
        assert_eq!(endpoints.by_id(42).unwrap().pod_name.as_ref(), "web-0");
        endpoints.forget(42);
        let (party, id) = endpoints.party(&snapshot, end(POD, 25_001, Told::Nothing));
        assert_eq!((party.endpoint.id, id), (0, 0));
    }

    #[test]
    fn what_is_only_perhaps_so_is_believed_of_a_workload_that_has_no_number() {
        let (snapshot, mut endpoints) = (snapshot(), CiliumEndpoints::default());
        let mut id = |address, number| endpoints.party(&snapshot, end(address, 0, number)).1;
        assert_eq!(id(ELSEWHERE, Told::Perhaps(7)), 0);
        assert_eq!(id(POD, Told::Perhaps(42)), 42);
        assert_eq!(id(POD, Told::Perhaps(7)), 42);
        assert_eq!(id(POD, Told::Number(7)), 7);
    }

    #[test]
    fn what_the_snapshot_says_anew_is_taken_up() {
        let mut endpoints = CiliumEndpoints::default();
        let mut labels = |identity| {
            let end = end(ELSEWHERE, identity, Told::Number(42));
            endpoints
                .party(&snapshot(), end)
                .0
                .endpoint
                .labels
                .join(" ")
        };
        // Each time another snapshot: more than there are places to remember.
        for _ in 0..3 {
            assert_eq!(labels(0), "reserved:world");
            assert_eq!(labels(1), "reserved:host");
        }
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

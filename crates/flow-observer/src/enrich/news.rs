//! What a change of the directory is to somebody who listens: which endpoints of this node came and
//! went, which addresses have another owner, which services are elsewhere.
//!
//! What is compared is what was believed before with what is believed now. So a fact that another
//! one hides is no news, and neither is one that a provider only says again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Snapshot,
    claims::{LocalName, Said},
    facts::Port,
    index::{Index, Touched},
    state::once_each,
};
use crate::record::{Endpoint, Service};

/// Something that is different now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum News {
    /// A workload of this node is known now.
    EndpointCreated(Arc<Endpoint>),
    /// A workload of this node is gone.
    EndpointDeleted(Arc<Endpoint>),
    /// A workload of this node has other labels or another identity.
    EndpointRegenerated(Arc<Endpoint>),
    /// An address has another owner, or its owner another identity.
    AddressUpserted {
        /// The address.
        ip: IpAddr,
        /// Who has it now.
        owner: Arc<Endpoint>,
        /// The identity of who had it.
        before: Option<u32>,
    },
    /// Nobody has an address any more.
    AddressDeleted {
        /// The address.
        ip: IpAddr,
        /// Who had it.
        owner: Arc<Endpoint>,
    },
    /// A port leads to a service, or the service is elsewhere.
    ServiceUpserted {
        /// Where clients reach it.
        frontend: Port,
        /// The service.
        service: Arc<Service>,
        /// Where the frontend ends up: those of its protocol.
        backends: Vec<Port>,
    },
    /// A port leads to no service any more.
    ServiceDeleted {
        /// Where clients reached it.
        frontend: Port,
    },
}

/// How much of a change is news.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Telling {
    /// All of it.
    Everything,
    /// Only the endpoints of this node: the rest was so before anybody looked.
    #[cfg_attr(
        not(any(feature = "kubernetes", test)),
        expect(dead_code, reason = "only Kubernetes lists what was so before")
    )]
    Endpoints,
}

/// Who hears the news, in the order of the changes, and how much is left out where it is too much at
/// once. Called while other changes wait.
pub(crate) type Listener = Box<dyn Fn(Vec<News>, u64) + Send + Sync>;

/// Compares. Knows which endpoints were told, since snapshots do not.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    locals: BTreeMap<LocalName, Arc<Endpoint>>,
}

impl Reporter {
    /// All endpoints of this node, for who begins to listen.
    pub(super) fn begin(&mut self, index: &Index) -> Vec<News> {
        let names = index.locals.all().map(|(name, _)| name.clone());
        self.locals(index, names.collect())
    }

    /// What a change comes to: endpoints, then addresses, then services. At most `most` beyond the
    /// endpoints, and how many are left out.
    pub(super) fn report(
        &mut self,
        index: &Index,
        [before, after]: [&Snapshot; 2],
        touched: &Touched,
        telling: Telling,
        most: usize,
    ) -> (Vec<News>, u64) {
        let mut news = self.locals(index, touched.locals.iter().cloned().collect());
        let mut left_out = 0;
        if telling == Telling::Everything {
            let addresses = once_each(&touched.addresses)
                .filter_map(|ip| address(ip, before.owner(ip), after.owner(ip)));
            let frontends = once_each(&touched.frontends)
                .filter_map(|port| service(index, port, before.frontend(port).is_some()));
            for more in addresses.chain(frontends) {
                if news.len() < most {
                    news.push(more);
                } else {
                    left_out += 1;
                }
            }
        }
        (news, left_out)
    }

    fn locals(&mut self, index: &Index, names: BTreeSet<LocalName>) -> Vec<News> {
        let mut news = Vec::new();
        for name in names {
            let now = index.locals.believed(&name).and_then(|it| match &it.said {
                Said::Endpoint(workload) => Some(Arc::clone(&workload.endpoint)),
                _ => None,
            });
            let before = match &now {
                Some(endpoint) => self.locals.insert(name, Arc::clone(endpoint)),
                None => self.locals.remove(&name),
            };
            match (before, now) {
                (None, Some(now)) => news.push(News::EndpointCreated(now)),
                (Some(before), None) => news.push(News::EndpointDeleted(before)),
                (Some(before), Some(now)) if before.id != now.id => {
                    news.push(News::EndpointDeleted(before));
                    news.push(News::EndpointCreated(now));
                }
                (Some(before), Some(now))
                    if before.identity != now.identity || before.labels != now.labels =>
                {
                    news.push(News::EndpointRegenerated(now));
                }
                _ => {}
            }
        }
        news
    }
}

fn address(
    ip: IpAddr,
    before: Option<&Arc<Endpoint>>,
    after: Option<&Arc<Endpoint>>,
) -> Option<News> {
    let is_same = |one: &Endpoint, other: &Endpoint| {
        one.identity == other.identity
            && one.namespace == other.namespace
            && one.pod_name == other.pod_name
    };
    match (before, after) {
        (Some(before), Some(now)) if is_same(before, now) => None,
        (before, Some(now)) => Some(News::AddressUpserted {
            ip,
            owner: Arc::clone(now),
            before: before.map(|it| it.identity),
        }),
        (Some(before), None) => Some(News::AddressDeleted {
            ip,
            owner: Arc::clone(before),
        }),
        (None, None) => None,
    }
}

fn service(index: &Index, frontend: Port, was_there: bool) -> Option<News> {
    let Some(claim) = index.frontends.of(frontend).next() else {
        return was_there.then_some(News::ServiceDeleted { frontend });
    };
    let Said::Service(said) = &claim.said else {
        return None;
    };
    let backends = said.backends.iter().copied();
    Some(News::ServiceUpserted {
        frontend,
        service: Arc::clone(said.service.first()?),
        backends: backends
            .filter(|it| it.protocol == frontend.protocol)
            .collect(),
    })
}

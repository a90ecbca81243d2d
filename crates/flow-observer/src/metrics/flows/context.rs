//! Labels that say who a flow was from and to, as configured for a metric.

use std::borrow::Cow;

use flow_api::flow::TrafficDirection;
use flow_filter::{EndpointView as _, IpView, Side};

use super::{measured::Measured, series::Values};

/// What a `source` or `destination` label says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Context {
    /// All labels of the endpoint.
    Identity,
    /// Its namespace.
    Namespace,
    /// `namespace/pod`.
    Pod,
    /// The pod's name alone.
    PodName,
    /// As `Pod`, without the part of the name that was generated.
    PodShort,
    /// The DNS names of the address.
    Dns,
    /// The address.
    Ip,
    /// The first label of the source `reserved`; that of the API server before others.
    ReservedIdentity,
    /// `namespace/name` of the first workload.
    Workload,
    /// Its name alone.
    WorkloadName,
    /// The label that tells the application.
    App,
}

impl Context {
    const ALL: [(&str, Self); 11] = [
        ("identity", Self::Identity),
        ("namespace", Self::Namespace),
        ("pod", Self::Pod),
        ("pod-name", Self::PodName),
        ("pod-short", Self::PodShort),
        ("dns", Self::Dns),
        ("ip", Self::Ip),
        ("reserved-identity", Self::ReservedIdentity),
        ("workload", Self::Workload),
        ("workload-name", Self::WorkloadName),
        ("app", Self::App),
    ];

    /// By its name in a configuration.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(it, _)| it.eq_ignore_ascii_case(name))
            .map(|&(_, context)| context)
    }

    /// All names, for messages.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(name, _)| *name)
    }

    /// Adds what this is of one side of a flow.
    fn put(self, flow: &impl Measured, side: Side, values: &mut Values) {
        let endpoint = flow.endpoint(side);
        let endpoint = endpoint.as_ref();
        match self {
            Self::Dns => return values.join(flow.names(side)),
            Self::Ip => return put_ip(flow, side, values),
            _ => {}
        }
        let Some(endpoint) = endpoint else { return };
        match self {
            Self::Dns | Self::Ip => {}
            Self::Identity => values.join(endpoint.labels()),
            Self::Namespace => values.add(endpoint.namespace()),
            Self::PodName => values.add(endpoint.pod_name()),
            Self::Pod => put_in_namespace(endpoint.namespace(), endpoint.pod_name(), values),
            Self::PodShort => {
                put_in_namespace(endpoint.namespace(), short(endpoint.pod_name()), values);
            }
            Self::ReservedIdentity => values.add(reserved(endpoint.labels())),
            Self::Workload => {
                if let Some(workload) = endpoint.workloads().next() {
                    put_in_namespace(endpoint.namespace(), workload.name, values);
                }
            }
            Self::WorkloadName => {
                values.add(endpoint.workloads().next().map_or("", |it| it.name));
            }
            Self::App => values.add(app(endpoint.labels())),
        }
    }
}

/// The name in its namespace, if there is one.
fn put_in_namespace(namespace: &str, name: &str, values: &mut Values) {
    if !namespace.is_empty() {
        values.add(namespace);
        values.add("/");
    }
    values.add(name);
}

fn put_ip(flow: &impl Measured, side: Side, values: &mut Values) {
    match flow.ip(side) {
        None => {}
        Some(IpView::Text(text)) => values.add(text),
        Some(IpView::Address(address)) => values.write(address),
    }
}

/// A pod's name without what its controller generated: `web-7d9f8b6c5-x2x4z` is `web`.
fn short(name: &str) -> &str {
    /// Letters and digits that Kubernetes generates names of.
    fn is_generated(part: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
        lengths.contains(&part.len())
            && part
                .bytes()
                .all(|it| b"bcdfghjklmnpqrstvwxz2456789".contains(&it))
    }
    let Some((rest, last)) = name.rsplit_once('-') else {
        return name;
    };
    if !is_generated(last, 5..=5) {
        return name;
    }
    match rest.rsplit_once('-') {
        Some((owner, hash)) if is_generated(hash, 6..=10) => owner,
        _ => rest,
    }
}

fn reserved<'a>(labels: impl Iterator<Item = &'a str>) -> &'a str {
    const API_SERVER: &str = "reserved:kube-apiserver";
    let mut first = "";
    for label in labels {
        if label == API_SERVER {
            return label;
        }
        if first.is_empty() && label.starts_with("reserved:") {
            first = label;
        }
    }
    first
}

fn app<'a>(mut labels: impl Iterator<Item = &'a str>) -> &'a str {
    const KEYS: [&str; 3] = ["k8s:app.kubernetes.io/name", "k8s:k8s-app", "k8s:app"];
    let value = |label: &'a str| {
        let (key, value) = label.split_once('=')?;
        (KEYS.contains(&key) && !value.is_empty()).then_some(value)
    };
    labels.find_map(value).unwrap_or_default()
}

/// What one of the labels `source` and `destination` says, by the direction of the flow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SideContexts {
    pub(crate) always: Vec<Context>,
    pub(crate) egress: Option<Vec<Context>>,
    pub(crate) ingress: Option<Vec<Context>>,
}

impl SideContexts {
    /// Whether there is a label at all.
    fn is_there(&self) -> bool {
        !self.always.is_empty() || self.egress.is_some() || self.ingress.is_some()
    }

    fn has(&self, context: Context) -> bool {
        let by_direction = [&self.egress, &self.ingress]
            .into_iter()
            .flatten()
            .flatten();
        self.always
            .iter()
            .chain(by_direction)
            .any(|&it| it == context)
    }

    /// Adds the first of the contexts that says something, as a value.
    fn put(&self, flow: &impl Measured, side: Side, values: &mut Values) {
        let direction = TrafficDirection::try_from(flow.traffic_direction());
        let contexts = match (direction, &self.egress, &self.ingress) {
            (Ok(TrafficDirection::Egress), Some(contexts), _)
            | (Ok(TrafficDirection::Ingress), _, Some(contexts)) => contexts,
            _ => &self.always,
        };
        let begin = values.len();
        for context in contexts {
            context.put(flow, side, values);
            if values.len() > begin {
                break;
            }
        }
        values.end();
    }
}

/// A label that says one thing of one side, or the direction.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PlainLabel(usize);

/// In the order in which they stand in a series.
const PLAIN: [&str; 13] = [
    "source_ip",
    "source_pod",
    "source_namespace",
    "source_workload",
    "source_workload_kind",
    "source_app",
    "destination_ip",
    "destination_pod",
    "destination_namespace",
    "destination_workload",
    "destination_workload_kind",
    "destination_app",
    "traffic_direction",
];
/// How many of each side.
const OF_A_SIDE: usize = 6;

impl PlainLabel {
    /// By its name in a configuration.
    pub(crate) fn named(name: &str) -> Option<Self> {
        PLAIN.iter().position(|it| *it == name).map(Self)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        PLAIN[self.0]
    }

    /// All names, for messages.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        PLAIN.into_iter()
    }

    fn put(self, flow: &impl Measured, is_turned: bool, values: &mut Values) {
        let is_source = self.0 < OF_A_SIDE;
        let side = if is_source != is_turned {
            Side::Source
        } else {
            Side::Destination
        };
        let endpoint = flow.endpoint(side);
        let endpoint = endpoint.as_ref();
        let workload = || endpoint.and_then(|it| it.workloads().next());
        match (self.0, self.0 % OF_A_SIDE) {
            (12, _) => values.add(&direction(flow)),
            (_, 0) => put_ip(flow, side, values),
            (_, 1) => values.add(endpoint.map_or("", |it| it.pod_name())),
            (_, 2) => values.add(endpoint.map_or("", |it| it.namespace())),
            (_, 3) => values.add(workload().map_or("", |it| it.name)),
            (_, 4) => values.add(workload().map_or("", |it| it.kind)),
            _ => values.add(endpoint.map_or("", |it| app(it.labels()))),
        }
        values.end();
    }
}

fn direction(flow: &impl Measured) -> Cow<'static, str> {
    match TrafficDirection::try_from(flow.traffic_direction()) {
        Ok(TrafficDirection::Ingress) => "ingress".into(),
        Ok(TrafficDirection::Egress) => "egress".into(),
        Ok(TrafficDirection::Unknown) => "unknown".into(),
        Err(number) => number.0.to_string().into(),
    }
}

/// The labels of a metric that say who a flow was from and to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Contexts {
    /// Sorted, each once.
    pub(crate) labels: Vec<PlainLabel>,
    pub(crate) source: SideContexts,
    pub(crate) destination: SideContexts,
}

impl Contexts {
    /// Names of the labels, in the order of their values.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let source = self.source.is_there().then_some("source");
        let destination = self.destination.is_there().then_some("destination");
        self.labels
            .iter()
            .map(|it| it.name())
            .chain(source)
            .chain(destination)
    }

    /// Adds the values.
    pub(crate) fn put(&self, flow: &impl Measured, values: &mut Values) {
        self.put_sides(flow, false, values);
    }

    /// The same for a response, told as by its request: from whom the request came.
    pub(crate) fn put_turned(&self, flow: &impl Measured, values: &mut Values) {
        self.put_sides(flow, true, values);
    }

    fn put_sides(&self, flow: &impl Measured, is_turned: bool, values: &mut Values) {
        for label in &self.labels {
            label.put(flow, is_turned, values);
        }
        // What was configured for a side is of that side of the response; where it stands is turned.
        let mut sides = [
            (&self.source, Side::Source),
            (&self.destination, Side::Destination),
        ];
        let is_there = [&self.source, &self.destination].map(SideContexts::is_there);
        if is_turned {
            sides.reverse();
        }
        for ((contexts, side), is_there) in sides.into_iter().zip(is_there) {
            if is_there {
                contexts.put(flow, side, values);
            }
        }
    }

    /// The labels that name a pod, by which its series are found when it is gone.
    pub(crate) fn of_pod<'a>(
        &self,
        namespace: &'a str,
        pod: &'a str,
        full_name: &'a str,
    ) -> Vec<Vec<(&'static str, &'a str)>> {
        let mut found = Vec::new();
        for (label, contexts) in [("source", &self.source), ("destination", &self.destination)] {
            if contexts.has(Context::Pod) {
                found.push(vec![(label, full_name)]);
            }
        }
        let has = |name| self.labels.iter().any(|it| it.name() == name);
        for (of_namespace, of_pod) in [
            ("source_namespace", "source_pod"),
            ("destination_namespace", "destination_pod"),
        ] {
            if has(of_namespace) && has(of_pod) {
                found.push(vec![(of_namespace, namespace), (of_pod, pod)]);
            }
        }
        found
    }
}

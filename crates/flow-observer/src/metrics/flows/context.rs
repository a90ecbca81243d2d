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

/// A pod's name without what its controller generated: `web-7d9f8b6c5-x2x4z` is `web`. By Hubble's
/// rule, which takes one or two parts at the end for generated, whatever they look like.
fn short(name: &str) -> &str {
    fn without_part(name: &str) -> Option<&str> {
        let (rest, part) = name.rsplit_once('-')?;
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        (!rest.is_empty() && !part.is_empty() && part.bytes().all(is_part)).then_some(rest)
    }
    let owner = without_part(name).unwrap_or(name);
    without_part(owner).unwrap_or(owner)
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
    /// Instead, for flows on their way out; nothing where that is not configured.
    pub(crate) egress: Vec<Context>,
    pub(crate) ingress: Vec<Context>,
}

impl SideContexts {
    /// Whether there is a label at all.
    fn is_there(&self) -> bool {
        self.all().next().is_some()
    }

    fn has(&self, context: Context) -> bool {
        self.all().any(|it| it == context)
    }

    fn all(&self) -> impl Iterator<Item = Context> {
        let lists = [&self.always, &self.egress, &self.ingress];
        lists.into_iter().flatten().copied()
    }

    /// Adds the first of the contexts that says something, as a value.
    fn put(&self, flow: &impl Measured, side: Side, values: &mut Values) {
        let direction = TrafficDirection::try_from(flow.traffic_direction());
        let of_direction = match direction {
            Ok(TrafficDirection::Egress) => &self.egress,
            Ok(TrafficDirection::Ingress) => &self.ingress,
            _ => &self.always,
        };
        let contexts = if of_direction.is_empty() {
            &self.always
        } else {
            of_direction
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
        values.begin_with(|values| self.put_sides(flow, false, values));
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

    /// The labels that name a pod, by which its series are found when it is gone: one with its full
    /// name, or one with its namespace and one with its name.
    pub(crate) fn of_pods(&self) -> Vec<&'static [&'static str]> {
        let has = |name| self.labels.iter().any(|it| it.name() == name);
        let mut found: Vec<&'static [_]> = Vec::new();
        if self.source.has(Context::Pod) {
            found.push(&["source"]);
        }
        if self.destination.has(Context::Pod) {
            found.push(&["destination"]);
        }
        if has("source_namespace") && has("source_pod") {
            found.push(&["source_namespace", "source_pod"]);
        }
        if has("destination_namespace") && has("destination_pod") {
            found.push(&["destination_namespace", "destination_pod"]);
        }
        found
    }
}

/// A pod's name with its namespace, as labels say it.
pub(crate) fn full_name(namespace: &str, pod: &str) -> String {
    if namespace.is_empty() {
        return pod.to_owned();
    }
    format!("{namespace}/{pod}")
}

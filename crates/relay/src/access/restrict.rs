//! A client's filters in, those out that match the same flows as far as they begin or end in some
//! namespaces.
//!
//! Filters are alternatives, and the fields of one go together. So each becomes one for flows from the
//! namespaces and one for flows to them. Where a filter names pods already, those that may be seen are
//! left.
//!
//! What is [not shown](super::redact) must not be found out by asking for it either. So a filter that
//! asks for such things of an end is for ends that are shown whole: those in the namespaces, and those
//! that are no pods. The same holds for filters of what is left out.

use flow_api::flow::{FlowFilter, Workload};

use super::redact::{FIRST_OF_PODS, RESERVED, STRANGERS};

/// The filters as they may be asked; none when nothing may be. Without filters a client wants
/// everything.
pub(super) fn wanted(mut asked: Vec<FlowFilter>, namespaces: &[String]) -> Vec<FlowFilter> {
    if asked.is_empty() {
        asked.push(FlowFilter::default());
    }
    let mut allowed = Vec::with_capacity(2 * asked.len());
    for filter in asked {
        for (near, far) in [(SOURCE, DESTINATION), (DESTINATION, SOURCE)] {
            if let Some(filter) = within(&filter, near, namespaces) {
                allowed.extend(shown(filter, far, namespaces));
            }
        }
    }
    allowed
}

/// The filters of what is left out, as far as they are about what is shown.
pub(super) fn unwanted(asked: Vec<FlowFilter>, namespaces: &[String]) -> Vec<FlowFilter> {
    let sources = asked
        .into_iter()
        .flat_map(|filter| shown(filter, SOURCE, namespaces));
    sources
        .flat_map(|filter| shown(filter, DESTINATION, namespaces))
        .collect()
}

/// What a filter says of one end.
struct End<'a> {
    pods: &'a mut Vec<String>,
    labels: &'a mut Vec<String>,
    names: &'a [String],
    services: &'a [String],
    workloads: &'a [Workload],
    identities: &'a [u32],
}

/// One of both ends of a filter.
type Side = fn(&mut FlowFilter) -> End<'_>;

const SOURCE: Side = |filter| End {
    pods: &mut filter.source_pod,
    labels: &mut filter.source_label,
    names: &filter.source_fqdn,
    services: &filter.source_service,
    workloads: &filter.source_workload,
    identities: &filter.source_identity,
};

const DESTINATION: Side = |filter| End {
    pods: &mut filter.destination_pod,
    labels: &mut filter.destination_label,
    names: &filter.destination_fqdn,
    services: &filter.destination_service,
    workloads: &filter.destination_workload,
    identities: &filter.destination_identity,
};

impl End<'_> {
    /// Whether it asks for what is not shown of every end.
    fn is_telling(&self) -> bool {
        let is_kind = |label: &String| {
            let kind = label.strip_prefix(RESERVED);
            kind.is_some_and(|kind| {
                kind.bytes()
                    .all(|it| it.is_ascii_alphanumeric() || it == b'-')
            })
        };
        !(self.pods.is_empty()
            && self.names.is_empty()
            && self.services.is_empty()
            && self.workloads.is_empty()
            && self.labels.iter().all(is_kind)
            && self.identities.iter().all(|it| *it < FIRST_OF_PODS))
    }
}

/// The filter for flows of which one end is in the namespaces; `None` when it is for none of them.
fn within(filter: &FlowFilter, side: Side, namespaces: &[String]) -> Option<FlowFilter> {
    let mut filter = filter.clone();
    let end = side(&mut filter);
    *end.pods = pods(end.pods, namespaces);
    (!end.pods.is_empty()).then_some(filter)
}

/// The filters for flows of which one end is shown as far as the filter asks for it.
fn shown(mut filter: FlowFilter, side: Side, namespaces: &[String]) -> Vec<FlowFilter> {
    // An expression may ask for anything.
    let asks_all = filter
        .experimental
        .as_ref()
        .is_some_and(|it| !it.cel_expression.is_empty());
    let end = side(&mut filter);
    if !asks_all && !end.is_telling() {
        return vec![filter];
    }
    let is_about_pods = !end.pods.is_empty() || !end.workloads.is_empty();
    let has_labels = !end.labels.is_empty();
    let mut filters = Vec::from_iter(within(&filter, side, namespaces));
    // Labels that are asked for already cannot be asked for together with others.
    if !is_about_pods && !has_labels {
        let end = side(&mut filter);
        end.labels.extend(STRANGERS.map(str::to_owned));
        filters.push(filter);
    }
    filters
}

/// Of these pods, as a filter names them, those that are in the namespaces.
fn pods(asked: &[String], namespaces: &[String]) -> Vec<String> {
    if asked.is_empty() {
        return namespaces.iter().map(|it| format!("{it}/")).collect();
    }
    let mut allowed = Vec::new();
    for pod in asked {
        // As nodes read it: a name alone is in the namespace `default`, and what follows a second
        // slash is nothing.
        let (namespace, name) = match pod.split_once('/') {
            Some((namespace, rest)) => (namespace, rest.split('/').next().unwrap_or_default()),
            None => ("default", pod.as_str()),
        };
        let any = namespace.is_empty();
        let seen = namespaces.iter().filter(|it| any || *it == namespace);
        allowed.extend(seen.map(|it| format!("{it}/{name}")));
    }
    allowed
}

#[cfg(test)]
mod tests {
    use flow_api::flow::flow_filter::Experimental;

    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pods_are_those_of_the_namespaces() {
        let allowed = strings(&["shop", "default"]);
        let cases: [(&[&str], &[&str]); 8] = [
            (&[], &["shop/", "default/"]),
            (&["shop/web"], &["shop/web"]),
            (&["bank/web"], &[]),
            (&["web"], &["default/web"]),
            (&["/web"], &["shop/web", "default/web"]),
            (&["/"], &["shop/", "default/"]),
            (&["shop/", "bank/"], &["shop/"]),
            (&["shop/a/b", "shopping/"], &["shop/a"]),
        ];
        for (asked, expected) in cases {
            assert_eq!(
                pods(&strings(asked), &allowed),
                strings(expected),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn each_filter_becomes_one_from_and_one_to_the_namespaces_with_its_other_fields() {
        let namespaces = strings(&["shop"]);
        let everything = wanted(Vec::new(), &namespaces);
        let from = |pod: &str| FlowFilter {
            source_pod: strings(&[pod]),
            ..FlowFilter::default()
        };
        let to = |pod: &str| FlowFilter {
            destination_pod: strings(&[pod]),
            ..FlowFilter::default()
        };
        assert_eq!(everything, [from("shop/"), to("shop/")]);

        let asked = FlowFilter {
            protocol: strings(&["tcp"]),
            source_label: strings(&["reserved:world"]),
            source_identity: vec![2],
            ..to("shop/")
        };
        let to_shop = asked.clone();
        let both = FlowFilter {
            source_pod: strings(&["shop/"]),
            ..asked.clone()
        };
        assert_eq!(wanted(vec![asked], &namespaces), [both, to_shop]);

        for elsewhere in [from("bank/"), to("bank/web")] {
            assert_eq!(wanted(vec![elsewhere], &namespaces), []);
        }
    }

    #[test]
    fn what_is_not_shown_cannot_be_asked_for() {
        let namespaces = strings(&["shop"]);
        let strangers = FlowFilter {
            source_pod: strings(&["shop/"]),
            destination_label: STRANGERS.map(str::to_owned).to_vec(),
            ..FlowFilter::default()
        };
        let within = FlowFilter {
            source_pod: strings(&["shop/"]),
            destination_pod: strings(&["shop/"]),
            ..FlowFilter::default()
        };
        // Service, name, identity: of those in the namespaces, and of those that are no pods.
        let asked = |change: fn(&mut FlowFilter)| {
            let mut filter = FlowFilter::default();
            change(&mut filter);
            let with = |base: &FlowFilter| {
                let mut filter = base.clone();
                change(&mut filter);
                filter
            };
            let expected = [with(&within), with(&strangers)];
            let filters = wanted(vec![filter], &namespaces);
            assert_eq!(filters[..2], expected);
            let to = FlowFilter {
                source_pod: Vec::new(),
                ..with(&within)
            };
            assert_eq!(filters[2..], [to]);
        };
        asked(|filter| filter.destination_service = vec!["bank/vault".into()]);
        asked(|filter| filter.destination_fqdn = vec!["*.example.com".into()]);
        asked(|filter| filter.destination_identity = vec![2, 5000]);
        // Pods, workloads and other labels: of those in the namespaces.
        for change in [
            |filter: &mut FlowFilter| filter.destination_label = vec!["app=vault".into()],
            |filter: &mut FlowFilter| filter.destination_label = vec!["!reserved:world".into()],
            |filter: &mut FlowFilter| filter.destination_label = vec!["reserved:world,a".into()],
            |filter: &mut FlowFilter| filter.destination_workload = vec![Workload::default()],
        ] {
            let mut filter = FlowFilter::default();
            change(&mut filter);
            let filters = wanted(vec![filter], &namespaces);
            assert_eq!(filters.len(), 2);
            let is_within = |it: &FlowFilter| it.destination_pod == ["shop/"];
            assert!(filters.iter().all(is_within), "{filters:?}");
        }
        // An expression sees both ends.
        let expression = FlowFilter {
            experimental: Some(Experimental {
                cel_expression: vec!["true".into()],
            }),
            ..FlowFilter::default()
        };
        let is_seen = |pods: &[String], labels: &[String]| !(pods.is_empty() && labels.is_empty());
        for filter in wanted(vec![expression], &namespaces) {
            assert!(is_seen(&filter.source_pod, &filter.source_label));
            assert!(is_seen(&filter.destination_pod, &filter.destination_label));
        }
    }

    #[test]
    fn what_is_left_out_is_left_out_by_what_is_shown() {
        let namespaces = strings(&["shop"]);
        let port = FlowFilter {
            destination_port: strings(&["53"]),
            ..FlowFilter::default()
        };
        let vault = FlowFilter {
            destination_pod: strings(&["bank/vault"]),
            ..FlowFilter::default()
        };
        let web = FlowFilter {
            source_pod: strings(&["/web"]),
            ..FlowFilter::default()
        };
        let own = FlowFilter {
            source_pod: strings(&["shop/web"]),
            ..FlowFilter::default()
        };
        let asked = vec![port.clone(), vault, web];
        assert_eq!(unwanted(asked, &namespaces), [port, own]);
    }
}

//! A client's filters in, those out that match the same flows as far as they begin or end in some
//! namespaces.
//!
//! Filters are alternatives, and the fields of one go together. So each becomes two: one for flows
//! from the namespaces and one for flows to them. Where a filter names pods already, those that may be
//! seen are left.

use flow_api::flow::FlowFilter;

/// The filters as they may be asked; none when nothing may be. Without filters a client wants
/// everything.
pub(super) fn filters(mut asked: Vec<FlowFilter>, namespaces: &[String]) -> Vec<FlowFilter> {
    if asked.is_empty() {
        asked.push(FlowFilter::default());
    }
    let mut allowed = Vec::with_capacity(2 * asked.len());
    for filter in asked {
        let (sources, destinations) = (
            pods(&filter.source_pod, namespaces),
            pods(&filter.destination_pod, namespaces),
        );
        if !sources.is_empty() {
            allowed.push(FlowFilter {
                source_pod: sources,
                ..filter.clone()
            });
        }
        if !destinations.is_empty() {
            allowed.push(FlowFilter {
                destination_pod: destinations,
                ..filter
            });
        }
    }
    allowed
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
        let everything = filters(Vec::new(), &namespaces);
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
            source_pod: strings(&["bank/"]),
            protocol: strings(&["tcp"]),
            ..FlowFilter::default()
        };
        let both = FlowFilter {
            destination_pod: strings(&["shop/"]),
            ..asked.clone()
        };
        assert_eq!(filters(vec![asked.clone()], &namespaces), [both]);

        let elsewhere = FlowFilter {
            destination_pod: strings(&["bank/"]),
            ..asked
        };
        assert!(filters(vec![elsewhere], &namespaces).is_empty());
    }
}

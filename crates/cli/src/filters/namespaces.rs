//! Namespace flags: they complete the names of pods and services.

use flow_api::flow::FlowFilter;
use flow_filter::quoted;

use super::table::Reach;
use crate::flags::ValueError;

/// The namespaces given, by the end that they are for. The empty one stands for any.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    either: Vec<String>,
    source: Vec<String>,
    destination: Vec<String>,
}

impl Namespaces {
    pub(super) fn add(&mut self, reach: Reach, namespace: &str) {
        let list = match reach {
            Reach::Destination => &mut self.destination,
            Reach::Either | Reach::Flow => &mut self.either,
            Reach::Source => &mut self.source,
        };
        list.push(namespace.to_owned());
    }

    /// Looks for pods and services that lie outside the namespaces given, and for services that lie
    /// elsewhere than the pods that they are asked for with.
    ///
    /// # Errors
    /// All contradictions found, a line each.
    pub(super) fn check(&self, filter: &FlowFilter) -> Result<(), ValueError> {
        let source = [&filter.source_pod, &filter.source_service];
        let destination = [&filter.destination_pod, &filter.destination_service];
        let contradictions: Vec<String> = source
            .into_iter()
            .chain(destination)
            .filter_map(|names| outside(&self.either, names))
            .chain(
                source
                    .into_iter()
                    .filter_map(|names| outside(&self.source, names)),
            )
            .chain(
                destination
                    .into_iter()
                    .filter_map(|names| outside(&self.destination, names)),
            )
            .chain(
                [source, destination]
                    .into_iter()
                    .filter_map(|[pods, services]| elsewhere(pods, services)),
            )
            .collect();
        if contradictions.is_empty() {
            Ok(())
        } else {
            Err(ValueError::new(contradictions.join("\n")))
        }
    }

    /// Writes the namespaces into the names of both filters.
    pub(super) fn complete(&self, source_view: &mut FlowFilter, destination_view: &mut FlowFilter) {
        for filter in [&mut *source_view, &mut *destination_view] {
            complete_destination(filter, &self.destination);
            complete_source(filter, &self.source);
        }
        complete_source(source_view, &self.either);
        complete_destination(destination_view, &self.either);
    }
}

fn complete_source(filter: &mut FlowFilter, namespaces: &[String]) {
    complete_names(
        &mut filter.source_pod,
        &mut filter.source_service,
        namespaces,
    );
}

fn complete_destination(filter: &mut FlowFilter, namespaces: &[String]) {
    complete_names(
        &mut filter.destination_pod,
        &mut filter.destination_service,
        namespaces,
    );
}

fn complete_names(pods: &mut Vec<String>, services: &mut Vec<String>, namespaces: &[String]) {
    if namespaces.is_empty() {
        return;
    }
    if pods.is_empty() && services.is_empty() {
        // The empty name, once completed, is the prefix of all names in the namespace.
        pods.push(String::new());
    }
    for names in [pods, services] {
        *names = std::mem::take(names)
            .into_iter()
            .flat_map(|name| {
                if name.contains('/') {
                    vec![name]
                } else {
                    namespaces
                        .iter()
                        .map(|namespace| format!("{namespace}/{name}"))
                        .collect()
                }
            })
            .collect();
    }
}

/// The namespace that a name brings along; a name without one, or with an empty one, has none.
fn namespace_of(name: &str) -> Option<&str> {
    name.split_once('/')
        .map(|(namespace, _)| namespace)
        .filter(|namespace| !namespace.is_empty())
}

fn outside(namespaces: &[String], names: &[String]) -> Option<String> {
    namespaces.iter().find_map(|namespace| {
        let name = names
            .iter()
            .find(|name| namespace_of(name).is_some_and(|of_name| of_name != namespace))?;
        Some(format!(
            "namespace conflict: {} does not contain {}",
            quoted(namespace),
            quoted(name)
        ))
    })
}

fn elsewhere(pods: &[String], services: &[String]) -> Option<String> {
    pods.iter()
        .filter_map(|pod| namespace_of(pod))
        .find_map(|of_pod| {
            let service = services
                .iter()
                .find(|service| namespace_of(service) != Some(of_pod))?;
            Some(format!(
                "namespace of service {} conflict with pod {}",
                quoted(service),
                quoted(of_pod)
            ))
        })
}

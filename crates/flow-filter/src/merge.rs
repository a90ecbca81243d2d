//! Lists of filters made shorter. A client that asks for ten thousand addresses may send as many
//! messages with one address each, which mean the same as one message with all of them.

use flow_api::flow::FlowFilter;

/// So few messages are as quickly asked one by one.
const FEW: usize = 8;

/// The same list with the messages that set nothing but the same field put together. `None` if that
/// makes it no shorter.
///
/// Expressions stay apart: one that fails ends the search among those of its message only.
pub(crate) fn merged(filters: &[FlowFilter]) -> Option<Vec<FlowFilter>> {
    if filters.len() <= FEW {
        return None;
    }
    let mut merged: Vec<FlowFilter> = Vec::new();
    // Where the entries of each field are gathered.
    let mut of_field: [Option<usize>; FIELDS] = [None; FIELDS];
    for filter in filters {
        let field = only_field(filter).and_then(|field| of_field.get_mut(field));
        match field {
            Some(Some(place)) => {
                if let Some(into) = merged.get_mut(*place) {
                    append(into, filter);
                }
            }
            other => {
                if let Some(place) = other {
                    *place = Some(merged.len());
                }
                merged.push(filter.clone());
            }
        }
    }
    (merged.len() < filters.len()).then_some(merged)
}

/// What there is to know about the lists of a message, from one list of their names. A field that
/// the contract gains does not compile until it is here.
macro_rules! lists {
    ($($field:ident)*) => {
        /// How many fields are lists.
        const FIELDS: usize = [$(stringify!($field)),*].len();

        /// The number of the field that alone is set.
        fn only_field(filter: &FlowFilter) -> Option<usize> {
            let FlowFilter { $($field,)* experimental } = filter;
            let is_set = [$(!$field.is_empty()),*];
            let mut set = is_set.iter().enumerate().filter(|(_, is_set)| **is_set);
            let (field, _) = set.next()?;
            (set.next().is_none() && experimental.is_none()).then_some(field)
        }

        fn append(into: &mut FlowFilter, filter: &FlowFilter) {
            $(into.$field.extend_from_slice(&filter.$field);)*
        }
    };
}

lists! {
    uuid source_ip source_ip_xlated source_pod source_fqdn source_label source_service
    source_workload source_cluster_name destination_ip destination_pod destination_fqdn
    destination_label destination_service destination_workload destination_cluster_name
    traffic_direction verdict drop_reason_desc interface event_type http_status_code protocol
    source_port destination_port reply dns_query source_identity destination_identity http_method
    http_path http_url http_header tcp_flags node_name node_labels ip_version trace_id ip_trace_id
    encrypted
}

#[cfg(test)]
mod tests {
    use flow_api::flow::flow_filter::Experimental;

    use super::*;

    #[test]
    fn only_messages_of_one_same_field_are_put_together() {
        let ip = |ip: &str| FlowFilter {
            source_ip: vec![ip.to_owned()],
            ..FlowFilter::default()
        };
        let port = |port: &str| FlowFilter {
            source_port: vec![port.to_owned()],
            ..FlowFilter::default()
        };
        let both = FlowFilter {
            source_port: vec!["1".to_owned()],
            ..ip("10.0.0.9")
        };
        let expression = FlowFilter {
            experimental: Some(Experimental {
                cel_expression: vec!["true".to_owned()],
            }),
            ..FlowFilter::default()
        };
        let nothing = FlowFilter::default();
        let filters = [
            ip("10.0.0.1"),
            both.clone(),
            port("1"),
            expression.clone(),
            nothing.clone(),
            ip("10.0.0.2"),
            expression.clone(),
            port("2"),
            both.clone(),
            nothing.clone(),
        ];
        let expected = [
            FlowFilter {
                source_ip: vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()],
                ..FlowFilter::default()
            },
            both.clone(),
            FlowFilter {
                source_port: vec!["1".to_owned(), "2".to_owned()],
                ..FlowFilter::default()
            },
            expression.clone(),
            nothing.clone(),
            expression,
            both,
            nothing,
        ];
        assert_eq!(merged(&filters).as_deref(), Some(&expected[..]));
        assert_eq!(merged(&expected), None);
    }
}

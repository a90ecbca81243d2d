//! What is refused, in which words, and which of several mistakes is named.

use flow_api::flow::{FlowFilter, HttpHeader, flow_filter::Experimental};
use flow_filter::Filter;

use crate::flows::{event_type, filter, strings};

fn error(filter: FlowFilter) -> String {
    Filter::compile(&[filter], &[]).unwrap_err().to_string()
}

#[test]
fn each_field_has_its_words() {
    type Change = fn(&mut FlowFilter);
    let cases: &[(Change, &str)] = &[
        (
            |filter| filter.protocol = strings(&["TCP", "Arp"]),
            r#"invalid protocol filter: unknown protocol: "Arp""#,
        ),
        (
            |filter| filter.source_ip = strings(&["nope"]),
            r#"invalid IP address "nope" in filter: ParseAddr("nope"): unable to parse IP"#,
        ),
        (
            |filter| filter.destination_ip = strings(&["10.0.0.0/"]),
            "invalid IP prefix \"10.0.0.0/\" in filter: netip.ParsePrefix(\"10.0.0.0/\"): \
             bad bits after slash: \"\"",
        ),
        (
            |filter| filter.source_pod = strings(&[""]),
            "invalid filter, name must not be empty",
        ),
        (
            |filter| filter.source_service = strings(&[""]),
            "invalid source service filter: invalid filter, name must not be empty",
        ),
        (
            |filter| filter.destination_service = strings(&[""]),
            "invalid destination service filter: invalid filter, name must not be empty",
        ),
        (
            |filter| filter.destination_cluster_name = strings(&[""]),
            "invalid filter, name must not be empty",
        ),
        (
            |filter| filter.source_fqdn = strings(&["a b"]),
            "' ': invalid rune in pattern",
        ),
        (
            |filter| filter.node_name = strings(&["a/b/c"]),
            "too many slashes in pattern",
        ),
        (
            |filter| filter.dns_query = strings(&["("]),
            "invalid DNS query filter: failed to compile regexp: error parsing regexp: \
             unclosed group",
        ),
        (
            |filter| filter.source_label = strings(&["a=b=c"]),
            "invalid source label filter: found '=', expected: ',' or 'end of string'",
        ),
        (
            |filter| filter.destination_label = strings(&["a=b=c"]),
            "invalid destination label filter: found '=', expected: ',' or 'end of string'",
        ),
        (
            |filter| filter.node_labels = strings(&["a=b=c"]),
            "invalid node label filter: found '=', expected: ',' or 'end of string'",
        ),
        (
            |filter| filter.source_port = strings(&["http"]),
            "invalid source port filter: invalid port \"http\": \
             strconv.ParseUint: parsing \"http\": invalid syntax",
        ),
        (
            |filter| filter.destination_port = strings(&["65536"]),
            "invalid destination port filter: invalid port \"65536\": \
             strconv.ParseUint: parsing \"65536\": value out of range",
        ),
        (
            |filter| filter.http_status_code = strings(&["20x"]),
            r#"invalid http status code filter: invalid status code prefix: "20x""#,
        ),
        (
            |filter| filter.http_path = strings(&["("]),
            "invalid http path filter: (: error parsing regexp: unclosed group",
        ),
        (
            |filter| filter.http_url = strings(&["a", "("]),
            "invalid http url filter: (: error parsing regexp: unclosed group",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(error(filter(change)), *expected);
    }
}

#[test]
fn http_fields_need_an_l7_event_type_if_any_is_given() {
    type Change = fn(&mut FlowFilter);
    let cases: [(Change, &str); 5] = [
        (
            |filter| filter.http_status_code = strings(&["200"]),
            "status code",
        ),
        (|filter| filter.http_method = strings(&["GET"]), "method"),
        (|filter| filter.http_path = strings(&["/"]), "path"),
        (|filter| filter.http_url = strings(&["/"]), "url"),
        (
            |filter| filter.http_header = vec![HttpHeader::default()],
            "headers",
        ),
    ];
    for (change, attribute) in cases {
        let mut filter = filter(change);
        assert!(
            Filter::compile(&[filter.clone()], &[]).is_ok(),
            "{attribute}"
        );
        filter.event_type = vec![event_type(4), event_type(129)];
        assert!(
            Filter::compile(&[filter.clone()], &[]).is_ok(),
            "{attribute}"
        );
        filter.event_type = vec![event_type(0), event_type(4)];
        assert_eq!(
            error(filter),
            format!(
                "filtering by http {attribute} requires the event type filter to only match 'l7' \
                 events"
            )
        );
    }
}

#[test]
fn cel_expressions_have_their_words() {
    for (expression, expected) in [
        (
            "_flow.l4.TCP.destination_port == 80",
            "error compiling CEL expression: ERROR: <input>:1:31: found no matching overload for \
             '_==_' applied to '(uint, int)'\n | _flow.l4.TCP.destination_port == 80\n \
             | ..............................^",
        ),
        (
            "_flow.verdict",
            "error compiling CEL expression: got \"int\", wanted \"bool\" result type",
        ),
        (
            "'a'.matches('(')",
            "error building CEL program: error parsing regexp: unclosed group",
        ),
    ] {
        let with_cel = filter(|filter| {
            filter.experimental = Some(Experimental {
                cel_expression: strings(&["true", expression]),
            });
        });
        assert_eq!(error(with_cel), expected);
    }
}

#[test]
fn the_first_mistake_is_named_in_the_order_of_the_fields() {
    let mut filter = FlowFilter {
        protocol: strings(&["arp"]),
        source_ip: strings(&["nope"]),
        destination_ip: strings(&["nope/8"]),
        source_service: strings(&[""]),
        destination_fqdn: strings(&[""]),
        dns_query: strings(&["("]),
        node_labels: strings(&["="]),
        source_port: strings(&["x"]),
        http_path: strings(&["("]),
        node_name: strings(&["a/b/c"]),
        source_cluster_name: strings(&[""]),
        ..FlowFilter::default()
    };
    type Mend = fn(&mut FlowFilter);
    let steps: [(&str, Mend); 11] = [
        ("unknown protocol", |filter| filter.protocol.clear()),
        ("invalid IP address", |filter| filter.source_ip.clear()),
        ("invalid IP prefix", |filter| filter.destination_ip.clear()),
        ("invalid source service filter", |filter| {
            filter.source_service.clear()
        }),
        ("empty pattern", |filter| filter.destination_fqdn.clear()),
        ("invalid DNS query filter", |filter| {
            filter.dns_query.clear()
        }),
        ("invalid node label filter", |filter| {
            filter.node_labels.clear()
        }),
        ("invalid source port filter", |filter| {
            filter.source_port.clear()
        }),
        ("invalid http path filter", |filter| {
            filter.http_path.clear()
        }),
        ("too many slashes", |filter| filter.node_name.clear()),
        ("name must not be empty", |filter| {
            filter.source_cluster_name.clear()
        }),
    ];
    for (expected, mend) in steps {
        let error = error(filter.clone());
        assert!(error.contains(expected), "{error}");
        mend(&mut filter);
    }
    assert!(Filter::compile(&[filter], &[]).is_ok());
}

#[test]
fn allow_is_compiled_before_deny() {
    let bad = |port: &str| filter(|filter| filter.source_port = strings(&[port]));
    let error = Filter::compile(&[bad("allowed")], &[bad("denied")]).unwrap_err();
    assert!(error.to_string().contains("allowed"));
}

//! What Hubble's clients rely on in the descriptors. The numbers stand here once more on purpose:
//! a slip in `proto/` must not change the wire without anybody noticing.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails loudly"
)]

use flow_api::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

fn file(name: &str) -> FileDescriptorProto {
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    descriptors
        .file
        .into_iter()
        .find(|file| file.name() == name)
        .unwrap()
}

fn message(file_name: &str, name: &str) -> DescriptorProto {
    let messages = file(file_name).message_type;
    messages
        .into_iter()
        .find(|message| message.name() == name)
        .unwrap()
}

fn field(file_name: &str, message_name: &str, name: &str) -> FieldDescriptorProto {
    let fields = message(file_name, message_name).field;
    fields
        .into_iter()
        .find(|field| field.name() == name)
        .unwrap()
}

#[test]
fn imports_are_included_as_reflection_wants_them() {
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let names: Vec<&str> = descriptors.file.iter().map(|file| file.name()).collect();
    for file in &descriptors.file {
        for import in &file.dependency {
            assert!(
                names.contains(&import.as_str()),
                "{} imports {import}",
                file.name()
            );
        }
    }
}

#[test]
fn services_have_their_calls_and_streams() {
    let calls = |file_name: &str| {
        let service = file(file_name).service.remove(0);
        let calls: Vec<_> = service
            .method
            .iter()
            .map(|call| {
                assert!(!call.client_streaming());
                let types = [call.input_type(), call.output_type()].map(str::to_owned);
                (call.name().to_owned(), call.server_streaming(), types)
            })
            .collect();
        (service.name().to_owned(), calls)
    };
    let call = |name: &str, streams, package: &str, request: &str, response: &str| {
        let types = [
            format!(".{package}.{request}"),
            format!(".{package}.{response}"),
        ];
        (name.to_owned(), streams, types)
    };
    let observer = |name: &str, streams| {
        call(
            name,
            streams,
            "observer",
            &format!("{name}Request"),
            &format!("{name}Response"),
        )
    };
    let expected = [
        observer("GetFlows", true),
        observer("GetAgentEvents", true),
        observer("GetDebugEvents", true),
        observer("GetNodes", false),
        observer("GetNamespaces", false),
        observer("ServerStatus", false),
    ];
    assert_eq!(
        calls("observer.proto"),
        ("Observer".to_owned(), expected.into())
    );
    let notify = call(
        "Notify",
        true,
        "peer",
        "NotifyRequest",
        "ChangeNotification",
    );
    assert_eq!(calls("peer.proto"), ("Peer".to_owned(), vec![notify]));
}

#[test]
fn fields_have_the_numbers_and_types_of_the_contract() {
    for (file, message, name, number, kind) in [
        ("flow.proto", "Flow", "time", 1, Type::Message),
        ("flow.proto", "Flow", "verdict", 2, Type::Enum),
        ("flow.proto", "Flow", "IP", 5, Type::Message),
        ("flow.proto", "Flow", "Type", 10, Type::Enum),
        ("flow.proto", "Flow", "node_name", 11, Type::String),
        ("flow.proto", "Flow", "event_type", 19, Type::Message),
        ("flow.proto", "Flow", "traffic_direction", 22, Type::Enum),
        ("flow.proto", "Flow", "drop_reason_desc", 25, Type::Enum),
        ("flow.proto", "Flow", "is_reply", 26, Type::Message),
        ("flow.proto", "Flow", "uuid", 34, Type::String),
        ("flow.proto", "Flow", "aggregate", 21_007, Type::Message),
        ("flow.proto", "Flow", "Summary", 100_000, Type::String),
        ("flow.proto", "Flow", "extensions", 150_000, Type::Message),
        ("flow.proto", "Layer7", "http", 101, Type::Message),
        ("flow.proto", "IP", "ipVersion", 3, Type::Enum),
        ("flow.proto", "Endpoint", "cluster_name", 7, Type::String),
        (
            "flow.proto",
            "LostEvent",
            "num_events_lost",
            2,
            Type::Uint64,
        ),
        (
            "flow.proto",
            "FlowFilter",
            "experimental",
            999,
            Type::Message,
        ),
        (
            "observer.proto",
            "GetFlowsRequest",
            "number",
            1,
            Type::Uint64,
        ),
        ("observer.proto", "GetFlowsRequest", "follow", 3, Type::Bool),
        (
            "observer.proto",
            "GetFlowsRequest",
            "blacklist",
            5,
            Type::Message,
        ),
        (
            "observer.proto",
            "GetFlowsRequest",
            "whitelist",
            6,
            Type::Message,
        ),
        ("observer.proto", "GetFlowsRequest", "first", 9, Type::Bool),
        (
            "observer.proto",
            "GetFlowsRequest",
            "field_mask",
            10,
            Type::Message,
        ),
        (
            "observer.proto",
            "GetFlowsResponse",
            "flow",
            1,
            Type::Message,
        ),
        (
            "observer.proto",
            "GetFlowsResponse",
            "node_status",
            2,
            Type::Message,
        ),
        (
            "observer.proto",
            "GetFlowsResponse",
            "lost_events",
            3,
            Type::Message,
        ),
        (
            "observer.proto",
            "GetFlowsResponse",
            "node_name",
            1_000,
            Type::String,
        ),
        (
            "observer.proto",
            "GetFlowsResponse",
            "time",
            1_001,
            Type::Message,
        ),
        (
            "observer.proto",
            "ServerStatusResponse",
            "flows_rate",
            9,
            Type::Double,
        ),
        (
            "observer.proto",
            "ExportEvent",
            "debug_event",
            5,
            Type::Message,
        ),
        ("peer.proto", "ChangeNotification", "type", 3, Type::Enum),
        (
            "relay.proto",
            "NodeStatusEvent",
            "node_names",
            2,
            Type::String,
        ),
    ] {
        let field = field(file, message, name);
        assert_eq!(
            (field.number(), field.r#type()),
            (number, kind),
            "{message}.{name}"
        );
    }
}

#[test]
fn lists_are_lists() {
    for (file, message, name) in [
        ("flow.proto", "Flow", "node_labels"),
        ("flow.proto", "Endpoint", "labels"),
        ("flow.proto", "Endpoint", "workloads"),
        ("flow.proto", "FlowFilter", "reply"),
        ("flow.proto", "FlowFilter", "verdict"),
        ("observer.proto", "GetNodesResponse", "nodes"),
        ("relay.proto", "NodeStatusEvent", "node_names"),
    ] {
        assert_eq!(
            field(file, message, name).label(),
            Label::Repeated,
            "{message}.{name}"
        );
    }
}

#[test]
fn enum_values_have_the_numbers_of_the_contract() {
    let enums = file("flow.proto").enum_type;
    for (name, value, number) in [
        ("Verdict", "DROPPED", 2),
        ("Verdict", "REDIRECTED", 5),
        ("TraceObservationPoint", "TO_ENDPOINT", 101),
        ("TraceObservationPoint", "FROM_ENDPOINT", 5),
        ("TraceObservationPoint", "TO_NETWORK", 11),
        ("DropReason", "POLICY_DENIED", 133),
        ("DropReason", "DROP_PUNT_PROXY", 205),
        ("EventType", "EventSample", 9),
        ("LostEventSource", "HUBBLE_RING_BUFFER", 3),
        ("AgentEventType", "AGENT_STARTED", 2),
    ] {
        let descriptor = enums
            .iter()
            .find(|descriptor| descriptor.name() == name)
            .unwrap();
        let found = descriptor
            .value
            .iter()
            .find(|descriptor| descriptor.name() == value)
            .unwrap();
        assert_eq!(found.number(), number, "{name}.{value}");
    }
}

#[test]
fn numbers_that_once_meant_something_stay_unused() {
    for (file, name, number) in [
        ("flow.proto", "Flow", 7),
        ("flow.proto", "Flow", 12),
        ("flow.proto", "Flow", 17),
        ("flow.proto", "Flow", 18),
        ("observer.proto", "GetFlowsRequest", 2),
    ] {
        let message = message(file, name);
        let reserved = &message.reserved_range;
        assert!(
            reserved
                .iter()
                .any(|range| (range.start()..range.end()).contains(&number)),
            "{name} {number}"
        );
    }
}

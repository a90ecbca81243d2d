use std::{fs, path::Path};

use flow_api::flow::{FlowFilter, LostEventSource, Verdict};
use flow_api::{json, observer::ExportEvent, observer::export_event::ResponseTypes};

use super::*;
use crate::{
    encode::tests::record,
    export::{ExportCounts, spec::Target},
    ring::{Event, Lost},
};

fn feed(ring: &Arc<FlowRing>) -> Feed {
    Feed {
        rings: vec![Arc::clone(ring)],
        node: Arc::new(NodeFacts {
            name: "east/node-1".to_owned(),
            directory: None,
        }),
        plain_node_name: "node-1".to_owned(),
        counts: Arc::new(ExportCounts::default()),
    }
}

fn events(path: &Path) -> Vec<ExportEvent> {
    // Without an event there is no file.
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines();
    lines.map(|line| json::from_str(line).unwrap()).collect()
}

/// What an exporter writes of a ring from its beginning on, and what was counted.
fn exported(
    spec: impl FnOnce(&mut Spec),
    publish: impl FnOnce(&FlowRing),
) -> (Vec<ExportEvent>, Feed) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _within = runtime.enter();
    let ring = Arc::new(FlowRing::new(16));
    let feed = feed(&ring);
    let mut one = Spec::new("one", Target::File(path.clone()));
    spec(&mut one);
    publish(&ring);
    let beginning = Some(feed.beginning());
    let exporter = Exporter::start(&one, false, SyncPolicy::Never, &feed, beginning).unwrap();
    exporter.close();
    let positions = exporter.join(Duration::from_secs(30)).unwrap();
    assert_eq!(positions, [ring.end()]);
    (events(&path), feed)
}

fn flows(count: u64) -> Vec<Event> {
    (0..count).map(|seed| Event::Flow(record(seed))).collect()
}

#[test]
fn an_exporter_that_is_overtaken_tells_how_many_it_missed() {
    let (events, feed) = exported(|_| {}, |ring| ring.publish(&mut flows(100)));
    let missed: u64 = events
        .iter()
        .filter_map(|event| match &event.response_types {
            Some(ResponseTypes::LostEvents(lost)) => {
                assert_eq!(lost.source(), LostEventSource::HubbleRingBuffer);
                Some(lost.num_events_lost)
            }
            _ => None,
        })
        .sum();
    assert_eq!(missed, 100 - 16);
    let status = &feed.counts.exporters()[0];
    assert_eq!((status.lost, status.lines), (missed, events.len() as u64));
}

#[test]
fn losses_are_of_the_plain_node_and_pass_only_filters_that_take_them() {
    let publish = |ring: &FlowRing| {
        let lost = Lost {
            time_ns: 1,
            count: 7,
            cpu: 0,
        };
        ring.publish(&mut vec![Event::Lost(lost)]);
    };
    let (events, _) = exported(|_| {}, publish);
    assert_eq!(events[0].node_name, "node-1");
    let drops = FlowFilter {
        verdict: vec![Verdict::Dropped.into()],
        ..FlowFilter::default()
    };
    let (events, _) = exported(|spec| spec.allow = vec![drops], publish);
    assert!(events.is_empty());
}

#[test]
fn after_its_end_an_exporter_writes_nothing() {
    let (events, feed) = exported(
        |spec| spec.end_ns = Some(1),
        |ring| ring.publish(&mut flows(10)),
    );
    assert!(events.is_empty());
    assert!(!feed.counts.exporters()[0].is_active);
}

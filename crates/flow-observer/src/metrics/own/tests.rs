use std::time::Duration;

use prometheus_client::{encoding::text, registry::Registry};

use super::*;
use crate::{
    enrich::Misses,
    ring::{Event, Lost, ReaderKind},
};

fn numbers() -> Numbers {
    Numbers {
        counters: Arc::default(),
        ring: Arc::new(FlowRing::new(15)),
        hooks: Vec::new(),
        run_times: Arc::default(),
        providers: Vec::new(),
        pages: Arc::default(),
    }
}

fn page(numbers: Numbers) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(numbers));
    let mut page = String::new();
    text::encode(&mut page, &registry).unwrap();
    page
}

#[track_caller]
fn assert_has(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            page.lines().any(|it| it == *line),
            "{line} is not in\n{page}"
        );
    }
}

#[test]
fn a_scrape_tells_losses_apart_from_what_is_only_counted() {
    let numbers = Numbers {
        hooks: vec![Hook {
            name: "sockets",
            off: Some("no cgroup v2".to_owned()),
        }],
        ..numbers()
    };
    numbers.counters.lost(1, 3);
    numbers.counters.read(9);
    numbers.counters.published(7, 0);
    numbers.counters.enrich_missed(Misses {
        private: 2,
        public: 1,
    });
    assert_has(
        &page(numbers),
        &[
            "palomar_events_read_total 9",
            r#"palomar_lost_events_total{stage="kernel",what="lost",kind="cpu1"} 3"#,
            r#"palomar_events_total{stage="ring",what="flows",kind=""} 7"#,
            r#"palomar_enrich_misses_total{address="private"} 2"#,
            r#"palomar_hook_on{hook="sockets"} 0"#,
            "palomar_ring_capacity 15",
            "# EOF",
        ],
    );
}

#[test]
fn the_ring_tells_how_long_it_reaches_back_and_who_is_slow() {
    let numbers = numbers();
    let lost = |time_ns| {
        Event::Lost(Lost {
            time_ns,
            count: 1,
            cpu: 0,
        })
    };
    let mut events = [1_000_000_000, 2_000_000_000, 3_500_000_000]
        .map(lost)
        .to_vec();
    numbers.ring.publish(&mut events);
    let slow = numbers.ring.readers().enter(ReaderKind::Follow, 1);
    slow.miss(4);
    assert_has(
        &page(numbers),
        &[
            "palomar_ring_span_seconds 2.5",
            r#"palomar_readers{reader="follow"} 1"#,
            r#"palomar_reader_behind_events{reader="follow"} 2"#,
            r#"palomar_reader_overtaken_events_total{reader="follow"} 4"#,
            r#"palomar_readers{reader="export"} 0"#,
        ],
    );
}

#[test]
fn run_times_are_there_only_where_they_are_measured() {
    let before = numbers();
    assert!(!page(before.clone()).contains("palomar_probe_"));
    let run_time = crate::source::RunTime {
        runs: 4,
        time: Duration::from_micros(2),
    };
    before.run_times.set("to_pod", run_time);
    assert_has(
        &page(before),
        &[
            r#"palomar_probe_runs_total{program="to_pod"} 4"#,
            r#"palomar_probe_run_seconds_total{program="to_pod"} 0.000002"#,
        ],
    );
}

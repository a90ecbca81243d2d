use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const ASKER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn told(name: &str, at_ns: i64) -> Told<'_> {
    Told {
        asker: ASKER,
        address: SERVER,
        name,
        origin: NameOrigin::Dns,
        at_ns,
        ttl_seconds: 60,
    }
}

fn address(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0xc000_0000 + number as u32))
}

impl Table {
    fn names(&mut self, address: IpAddr, now_ns: i64) -> Vec<String> {
        self.find(ASKER, address, now_ns, None, None)
            .map(|(names, _)| texts(&names))
            .unwrap_or_default()
    }

    /// All lists and tables agree, and are within their bounds.
    fn check(&self) {
        assert_eq!(self.known.len(), self.all.len());
        assert!(self.known.len() <= MAX_ADDRESSES);
        let of_askers: usize = self.askers.values().map(List::len).sum();
        assert_eq!(of_askers, self.known.len());
        for list in self.askers.values() {
            assert!((1..=MAX_ADDRESSES_PER_ASKER).contains(&list.len()));
        }
        for known in self.known.all() {
            assert!((1..=MAX_NAMES_PER_ADDRESS).contains(&known.names.all.len()));
        }
    }
}

fn texts(names: &Names) -> Vec<String> {
    names.all.iter().map(|name| name.text.to_string()).collect()
}

#[test]
fn a_name_is_known_to_who_asked_and_nobody_else() {
    let mut table = Table::default();
    table.tell(&told("api.test", 0));
    assert_eq!(table.names(SERVER, 1), ["api.test"]);
    assert!(table.names(ASKER, 1).is_empty());
    assert!(table.find(SERVER, ASKER, 1, None, None).is_none());
    assert!(table.find(SERVER, SERVER, 1, None, None).is_none());
}

#[test]
fn the_name_that_was_told_last_stands_first_and_each_stands_once() {
    let mut table = Table::default();
    table.tell(&told("a.test", 0));
    table.tell(&told("b.test", 1));
    assert_eq!(table.names(SERVER, 2), ["b.test", "a.test"]);
    table.tell(&told("a.test", 3));
    assert_eq!(table.names(SERVER, 4), ["a.test", "b.test"]);
    for number in 0..20 {
        table.tell(&told(&format!("{number}.test"), 5));
    }
    let names = table.names(SERVER, 6);
    assert_eq!(names.len(), MAX_NAMES_PER_ADDRESS);
    assert_eq!(names[0], "19.test");
}

#[test]
fn a_name_holds_for_an_hour_at_least_and_a_day_at_most() {
    let hour = |ttl_seconds, hours| {
        let mut table = Table::default();
        table.tell(&Told {
            ttl_seconds,
            ..told("api.test", 0)
        });
        !table.names(SERVER, hours * HOUR_NS).is_empty()
    };
    assert!(hour(0, 1) && !hour(0, 2));
    assert!(hour(2 * 3_600, 2) && !hour(2 * 3_600, 3));
    assert!(hour(u32::MAX, 24) && !hour(u32::MAX, 25));
}

#[test]
fn an_address_keeps_its_names_as_long_as_flows_use_it() {
    let mut table = Table::default();
    table.tell(&told("api.test", 0));
    for hours in 1..100 {
        assert_eq!(table.names(SERVER, hours * HOUR_NS), ["api.test"]);
    }
    assert_eq!(table.names(SERVER, 102 * HOUR_NS), ["api.test"]);
    assert!(table.names(SERVER, 105 * HOUR_NS + 1).is_empty());
    table.check();
    assert_eq!(table.known.len(), 0);
}

#[test]
fn a_name_that_was_not_told_for_a_day_makes_way_for_another() {
    let mut table = Table::default();
    table.tell(&told("old.test", 0));
    table.tell(&told("younger.test", 20 * HOUR_NS));
    table.tell(&told("new.test", 25 * HOUR_NS));
    assert_eq!(
        table.names(SERVER, 25 * HOUR_NS),
        ["new.test", "younger.test"]
    );
}

#[test]
fn of_too_many_addresses_those_that_were_told_first_and_are_not_used_are_forgotten() {
    let mut table = Table::default();
    let tell = |table: &mut Table, number| {
        table.tell(&Told {
            address: address(number),
            ..told("any.test", number as i64)
        })
    };
    for number in 0..MAX_ADDRESSES_PER_ASKER {
        assert_eq!(tell(&mut table, number), None);
    }
    let now = MAX_ADDRESSES_PER_ASKER as i64;
    assert!(!table.names(address(0), now).is_empty());
    let one_more = MAX_ADDRESSES_PER_ASKER;
    assert_eq!(tell(&mut table, one_more), Some(Bound::Asker));
    table.check();
    let is_known = |table: &Table, number| {
        let pair = (bits(ASKER), bits(address(number)));
        table.known.find(pair).is_some()
    };
    assert!(is_known(&table, 0) && is_known(&table, one_more));
    assert!(!is_known(&table, 1) && is_known(&table, 2));
}

#[test]
fn what_is_over_is_forgotten_as_others_come() {
    let mut table = Table::default();
    for number in 0..100 {
        table.tell(&Told {
            address: address(number),
            ..told("any.test", 0)
        });
    }
    for number in 100..200 {
        table.tell(&Told {
            address: address(number),
            ..told("any.test", 10 * HOUR_NS)
        });
    }
    table.check();
    assert_eq!(table.known.len(), 100);
}

#[test]
fn names_that_always_hold_stand_behind_those_that_were_told() {
    let fixed = |text: &str| {
        Arc::new(Names {
            all: vec![Name {
                text: text.into(),
                origin: NameOrigin::Inventory,
                told_ns: 0,
            }],
        })
    };
    let mut table = Table::default();
    table.tell(&told("api.test", 0));
    let names = |table: &mut Table, fixed: Option<Arc<Names>>| {
        let found = table.find(ASKER, SERVER, 1, fixed.as_ref(), None);
        found.unwrap().0
    };
    let first = names(&mut table, Some(fixed("router")));
    assert_eq!(texts(&first), ["api.test", "router"]);
    let again = names(&mut table, Some(fixed("router")));
    assert!(Arc::ptr_eq(&first, &again), "nothing is written anew");
    assert_eq!(
        texts(&names(&mut table, Some(fixed("gateway")))),
        ["api.test", "gateway"]
    );
    assert_eq!(texts(&names(&mut table, None)), ["api.test"]);
    table.tell(&told("www.test", 2));
    assert_eq!(
        texts(&names(&mut table, Some(fixed("router")))),
        ["www.test", "api.test", "router"]
    );
}

#[test]
fn a_named_peer_of_the_world_is_told_apart_but_not_by_a_host_header() {
    let world = Endpoint {
        identity: 2,
        labels: vec!["reserved:world".to_owned()].into(),
        ..Endpoint::default()
    };
    let mut table = Table::default();
    table.tell(&Told {
        origin: NameOrigin::Http,
        ..told("header.test", 0)
    });
    let peer = |table: &mut Table| {
        let found = table.find(ASKER, SERVER, 1, None, Some(&world));
        found.unwrap().1
    };
    assert!(peer(&mut table).is_none());
    table.tell(&told("api.test", 0));
    let named = peer(&mut table).unwrap();
    assert_eq!(*named.labels, ["fqdn:api.test", "reserved:world"]);
    assert!(Arc::ptr_eq(&named, &peer(&mut table).unwrap()));
    // A header that says the same later takes nothing away.
    table.tell(&Told {
        origin: NameOrigin::Http,
        ..told("api.test", HOUR_NS)
    });
    assert!(Arc::ptr_eq(&named, &peer(&mut table).unwrap()));
}

proptest! {
    #[test]
    fn whatever_is_told_bounds_and_lists_hold(
        steps in prop::collection::vec((0u8..4, 0u8..4, 0usize..12, 0u8..10, 0i64..5), 0..200),
    ) {
        let mut table = Table::default();
        let mut now_ns = 0;
        for (what, asker, number, name, hours) in steps {
            now_ns += hours * HOUR_NS;
            let asker = IpAddr::from([10, 0, 0, asker]);
            if what == 0 {
                table.find(asker, address(number), now_ns, None, None);
            } else {
                table.tell(&Told {
                    asker,
                    address: address(number),
                    ..told(&format!("{name}.test"), now_ns)
                });
                let found = table.find(asker, address(number), now_ns, None, None);
                let first = found.unwrap().0.all[0].text.to_string();
                prop_assert_eq!(first, format!("{name}.test"));
            }
            table.check();
        }
    }
}

//! The filter flags: what was typed in, two lists of `FlowFilter` out.
//!
//! [`table`] says for each flag which fields of a filter it sets. Here is what the flags mean
//! together:
//!
//! - Flags are AND, the values of one flag are OR.
//! - `--not` sends the next filter flag to the deny list, all others go to the allow list. Within
//!   each list all flags make one filter.
//! - A flag without direction, such as `--pod`, matches either end. One list of fields cannot say
//!   that, so each list holds two filters that differ in those flags: one has them for the source,
//!   one for the destination. If no such flag was given they are equal, and one is sent.
//! - Namespaces are not fields: they complete the pods and services without one, and stand for all
//!   pods of the namespace where there are none.
//! - Flags that cannot hold at the same time, or that would be read in two ways, are refused.

mod conflicts;
pub(crate) mod fields;
mod namespaces;
pub(crate) mod raw;
pub(crate) mod table;
mod yaml;

use flow_api::flow::FlowFilter;

use crate::flags::{Accept, Flag, Takes, ValueError, value};
use fields::End;
use namespaces::Namespaces;
use table::{Effect, Reach};

/// The filter flags of a command line, in the making.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    allow: Option<Pair>,
    deny: Option<Pair>,
    /// `--not` was the last filter flag.
    negate_next: bool,
}

/// One list: the filter that looks at the source and the one that looks at the destination.
#[derive(Debug, Default)]
struct Pair {
    source_view: FlowFilter,
    destination_view: FlowFilter,
    namespaces: Namespaces,
    /// Names of the flags given so far.
    given: Vec<&'static str>,
}

impl Filters {
    /// Whether `--not` waits for the filter that it turns around.
    pub(crate) fn is_negating(&self) -> bool {
        self.negate_next
    }

    /// The allow and the deny list.
    ///
    /// # Errors
    /// `--not` at the end of the line negates nothing.
    pub(crate) fn finish(self) -> Result<(Vec<FlowFilter>, Vec<FlowFilter>), TrailingNot> {
        if self.negate_next {
            return Err(TrailingNot);
        }
        let list = |pair: Option<Pair>| pair.map(Pair::finish).unwrap_or_default();
        Ok((list(self.allow), list(self.deny)))
    }
}

/// `--not` with no filter after it.
#[derive(Debug, thiserror::Error)]
#[error("trailing --not found in the arguments")]
pub(crate) struct TrailingNot;

impl Accept for Filters {
    fn accept(&mut self, flag: &'static Flag, value: &str) -> Result<bool, ValueError> {
        let Some(effect) = table::effect(flag.long) else {
            return Ok(false);
        };
        // `--not=false` and the like say that the flag is not meant.
        if is_off(flag, value) {
            return Ok(true);
        }
        if matches!(effect, Effect::Not) {
            if self.negate_next {
                return Err(ValueError::new("consecutive --not statements"));
            }
            self.negate_next = true;
            return Ok(true);
        }
        let list = if std::mem::take(&mut self.negate_next) {
            &mut self.deny
        } else {
            &mut self.allow
        };
        list.get_or_insert_default()
            .apply(flag.long, effect, value)?;
        Ok(true)
    }
}

fn is_off(flag: &Flag, text: &str) -> bool {
    matches!(flag.takes, Takes::Optional(_)) && value::switch(text) == Ok(false)
}

impl Pair {
    fn apply(
        &mut self,
        name: &'static str,
        effect: &Effect,
        value: &str,
    ) -> Result<(), ValueError> {
        if !self.given.contains(&name) {
            self.given.push(name);
        }
        conflicts::check(&self.given)?;
        match effect {
            Effect::Not => {}
            Effect::Field(Reach::Either, set) => {
                set(&mut self.source_view, End::Source, value)?;
                set(&mut self.destination_view, End::Destination, value)?;
            }
            Effect::Field(reach, set) => {
                let end = match reach {
                    Reach::Destination => End::Destination,
                    Reach::Either | Reach::Flow | Reach::Source => End::Source,
                };
                set(&mut self.source_view, end, value)?;
                set(&mut self.destination_view, end, value)?;
            }
            Effect::Namespace(reach) => self.namespaces.add(*reach, value),
            Effect::AnyNamespace(reach) => self.namespaces.add(*reach, ""),
        }
        self.namespaces.check(&self.source_view)?;
        self.namespaces.check(&self.destination_view)
    }

    fn finish(mut self) -> Vec<FlowFilter> {
        self.namespaces
            .complete(&mut self.source_view, &mut self.destination_view);
        if self.source_view == self.destination_view {
            vec![self.source_view]
        } else {
            vec![self.source_view, self.destination_view]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{self, UsageError};

    fn filters(line: &[&str]) -> Result<(Vec<FlowFilter>, Vec<FlowFilter>), UsageError> {
        let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        let mut filters = Filters::default();
        flags::apply(&mut filters, &line, &[table::SECTION])?;
        Ok(filters.finish().unwrap())
    }

    fn message(line: &[&str]) -> String {
        filters(line).unwrap_err().to_string()
    }

    fn owned(values: &[&str]) -> Vec<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    #[test]
    fn no_flags_make_no_filters() {
        assert_eq!(filters(&[]), Ok((vec![], vec![])));
    }

    #[test]
    fn a_flag_without_direction_matches_either_end() {
        let (allow, deny) = filters(&["--pod", "web", "--verdict", "DROPPED"]).unwrap();
        assert!(deny.is_empty());
        assert_eq!(allow.len(), 2);
        assert_eq!(allow[0].source_pod, ["web"]);
        assert!(allow[0].destination_pod.is_empty());
        assert_eq!(allow[1].destination_pod, ["web"]);
        assert_eq!(allow[0].verdict, allow[1].verdict);
    }

    #[test]
    fn flags_with_a_direction_make_one_filter() {
        let (allow, _) = filters(&["--from-ip", "10.0.0.1", "--to-port", "80"]).unwrap();
        assert_eq!(allow.len(), 1);
        assert_eq!(allow[0].source_ip, ["10.0.0.1"]);
        assert_eq!(allow[0].destination_port, ["80"]);
    }

    #[test]
    fn not_turns_only_the_next_filter_around() {
        let (allow, deny) = filters(&["--not", "--protocol", "udp", "--protocol", "tcp"]).unwrap();
        assert_eq!(allow[0].protocol, ["tcp"]);
        assert_eq!(deny[0].protocol, ["udp"]);
    }

    #[test]
    fn a_switch_set_to_false_is_not_set() {
        let (allow, deny) = filters(&["--not=false", "--encrypted=false", "--uuid", "u"]).unwrap();
        assert!(deny.is_empty());
        assert!(allow[0].encrypted.is_empty());
    }

    #[test]
    fn not_needs_exactly_one_filter() {
        assert_eq!(
            message(&["--not", "--not", "--pod", "a"]),
            "invalid argument \"true\" for \"--not\" flag: consecutive --not statements"
        );
        let mut trailing = Filters::default();
        let line = ["--not".to_owned()];
        flags::apply(&mut trailing, &line, &[table::SECTION]).unwrap();
        assert!(trailing.finish().is_err());
    }

    #[test]
    fn a_namespace_completes_names_and_stands_alone() {
        let (allow, _) =
            filters(&["-n", "a", "-n", "b", "--pod", "x", "--pod", "a/y"]).unwrap_or_default();
        assert!(allow.is_empty(), "a/y is not in b");
        let (allow, _) = filters(&["-n", "a", "-n", "b", "--pod", "x"]).unwrap();
        assert_eq!(allow[0].source_pod, ["a/x", "b/x"]);
        let (allow, _) = filters(&["--from-namespace", "a", "--to-service", "s"]).unwrap();
        assert_eq!(allow[0].source_pod, ["a/"]);
        assert_eq!(allow[0].destination_service, owned(&["s"]));
        let (allow, _) = filters(&["-A"]).unwrap();
        assert_eq!(allow[0].source_pod, ["/"]);
        assert_eq!(allow[1].destination_pod, ["/"]);
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(message(&["--ip", "::1", "--to-pod", "x"]).ends_with("cannot be combined"));
        assert!(message(&["-n", "a", "--pod", "b/x"]).contains("namespace conflict"));
        assert!(message(&["--from-pod", "a/x", "--from-service", "b/y"]).contains("conflict"));
    }

    #[test]
    fn allow_and_deny_do_not_contradict_each_other() {
        assert!(filters(&["--ip", "::1", "--not", "--to-pod", "x"]).is_ok());
    }
}

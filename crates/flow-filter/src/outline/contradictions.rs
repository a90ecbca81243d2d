//! What can never be, and why.

use std::collections::BTreeMap;

use super::{Limit, Outline, Test, Values};

/// As many reasons are told. Who reads them mends the first and asks again.
const MOST_REASONS: usize = 10;

/// Why the condition, or a branch of it, is never true. Not all such reasons are found; what is told
/// is so.
#[must_use]
pub fn contradictions(outline: &Outline) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(reason) = never(outline, &Facts::default(), &mut reasons) {
        reasons.insert(0, format!("nothing can match: {reason}"));
    }
    reasons.truncate(MOST_REASONS);
    reasons
}

/// What holds around a part of the condition.
#[derive(Clone, Debug, Default)]
struct Facts<'o>(BTreeMap<&'o str, Fact<'o>>);

/// The values that a field can still have, and what says so.
#[derive(Clone, Debug)]
struct Fact<'o> {
    values: Values,
    because: Vec<&'o str>,
}

/// Why the part can never be true where the facts hold. Branches of it that can never be while others
/// can are told in passing.
fn never<'o>(outline: &'o Outline, facts: &Facts<'o>, reasons: &mut Vec<String>) -> Option<String> {
    match outline {
        Outline::Test(test) => facts.clone().add_test(test).err(),
        Outline::Not(part) => match &**part {
            Outline::Test(test) => facts.clone().add_not(test).err(),
            part => facts
                .imply(part)
                .then(|| format!("what is wanted is hidden again by not {}", words(part))),
        },
        Outline::Any(parts) => {
            let mut dead = Vec::new();
            for part in parts {
                if let Some(reason) = never(part, facts, reasons) {
                    dead.push(format!("{}: {reason}", words(part)));
                }
            }
            // None of nothing holds.
            if dead.len() == parts.len() {
                return Some(match dead.into_iter().next() {
                    Some(first) => first,
                    None => "there is nothing to choose from".to_owned(),
                });
            }
            reasons.extend(dead.into_iter().map(|dead| format!("never true: {dead}")));
            None
        }
        Outline::All(parts) => {
            let mut facts = facts.clone();
            let mut open = Vec::new();
            if let Err(reason) = facts.gather(parts, &mut open) {
                return Some(reason);
            }
            open.into_iter()
                .find_map(|part| never(part, &facts, reasons))
        }
    }
}

impl<'o> Facts<'o> {
    /// Takes in what must hold; what is more than a question stays open.
    fn gather(&mut self, parts: &'o [Outline], open: &mut Vec<&'o Outline>) -> Result<(), String> {
        for part in parts {
            match part {
                Outline::All(parts) => self.gather(parts, open)?,
                Outline::Test(test) => self.add_test(test)?,
                Outline::Not(inner) => match &**inner {
                    Outline::Test(test) => self.add_not(test)?,
                    _ => open.push(part),
                },
                Outline::Any(_) => open.push(part),
            }
        }
        Ok(())
    }

    fn add_test(&mut self, test: &'o Test) -> Result<(), String> {
        for limit in test.limit.iter().chain(&test.implies) {
            self.add(&limit.subject, &limit.values, &test.words)?;
        }
        Ok(())
    }

    fn add_not(&mut self, test: &'o Test) -> Result<(), String> {
        let Some(limit) = &test.limit else {
            return Ok(());
        };
        match limit.values.others() {
            Some(values) => self
                .add(&limit.subject, &values, &test.words)
                .map_err(|_| format!("what is wanted is hidden again by not {}", test.words)),
            None => Ok(()),
        }
    }

    fn add(&mut self, subject: &'o str, values: &Values, because: &'o str) -> Result<(), String> {
        let Some(fact) = self.0.get_mut(subject) else {
            let fact = Fact {
                values: values.clone(),
                because: vec![because],
            };
            self.0.insert(subject, fact);
            return Ok(());
        };
        let both = fact.values.both(values);
        if both.is_empty() {
            let others: Vec<&str> = fact
                .because
                .iter()
                .copied()
                .filter(|other| *other != because)
                .collect();
            return Err(match others.as_slice() {
                [] => format!("'{because}' cannot be"),
                others => format!(
                    "'{because}' and '{}' exclude each other, a flow has one {subject}",
                    others.join("' with '")
                ),
            });
        }
        if both != fact.values {
            fact.values = both;
            fact.because.push(because);
        }
        Ok(())
    }

    /// Whether the facts alone make the part true.
    fn imply(&self, part: &Outline) -> bool {
        match part {
            Outline::All(parts) => parts.iter().all(|part| self.imply(part)),
            Outline::Any(parts) => parts.iter().any(|part| self.imply(part)),
            Outline::Not(part) => match &**part {
                Outline::Test(Test {
                    limit: Some(Limit { subject, values }),
                    ..
                }) => values
                    .others()
                    .is_some_and(|values| self.confine(subject, &values)),
                _ => false,
            },
            Outline::Test(test) => match &test.limit {
                Some(limit) => self.confine(&limit.subject, &limit.values),
                None => false,
            },
        }
    }

    fn confine(&self, subject: &str, values: &Values) -> bool {
        self.0
            .get(subject)
            .is_some_and(|fact| fact.values.are_in(values))
    }
}

/// A part of the condition in one line.
fn words(outline: &Outline) -> String {
    let joined = |parts: &[Outline], with: &str| {
        let parts: Vec<String> = parts.iter().map(words).collect();
        format!("({})", parts.join(with))
    };
    match outline {
        Outline::All(parts) if parts.is_empty() => "any flow".to_owned(),
        Outline::All(parts) => joined(parts, " and "),
        Outline::Any(parts) => joined(parts, " or "),
        Outline::Not(part) => format!("not {}", words(part)),
        Outline::Test(test) => test.words.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Where;

    fn told(text: &str) -> Vec<String> {
        contradictions(&Where::parse(text).unwrap().outline())
    }

    #[test]
    fn what_can_be_is_not_called_impossible() {
        for text in [
            "verdict == DROPPED",
            "verdict == DROPPED || verdict == FORWARDED",
            "verdict in [DROPPED, ERROR] && verdict != ERROR",
            "source.port > 1023 && source.port < 2000",
            "!(verdict == DROPPED && source.namespace == 'a') && verdict == DROPPED",
            "source.namespace != 'a' && source.namespace != 'b'",
            "tcp.destination_port == 80 && source.port == 80",
            "tcp.destination_port == 0 && udp.destination_port == 53",
            "tcp.flags.SYN && !tcp.flags.ACK",
            "dns.query == 'a.' && udp.destination_port == 53",
            "source.labels.exists(l, l == 'a') && source.labels.exists(l, l == 'b')",
        ] {
            assert_eq!(told(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_can_never_be_is_told_with_the_reason() {
        for (text, expected) in [
            (
                "verdict == DROPPED && verdict == FORWARDED",
                "nothing can match: 'verdict is FORWARDED' and 'verdict is DROPPED' exclude each \
                 other, a flow has one verdict",
            ),
            (
                "verdict in [DROPPED, ERROR] && source.namespace == 'a' && !(verdict == DROPPED) && \
                 verdict != ERROR",
                "exclude each other",
            ),
            (
                "source.port > 80 && source.port < 80",
                "'source.port is at most 79' and 'source.port is at least 81'",
            ),
            (
                "tcp.destination_port == 80 && udp.source_port == 53",
                "a flow has one protocol above IP",
            ),
            ("tcp.flags.SYN && has(l4.udp)", "exclude each other"),
            (
                "verdict == DROPPED && !(verdict == DROPPED)",
                "what is wanted is hidden again by not verdict is DROPPED",
            ),
            (
                "verdict == DROPPED && direction == INGRESS && \
                 !(verdict == DROPPED && direction == INGRESS)",
                "hidden again by not (verdict is DROPPED and traffic_direction is INGRESS)",
            ),
        ] {
            let reasons = told(text);
            assert!(
                reasons
                    .first()
                    .is_some_and(|reason| reason.starts_with("nothing can match: ")
                        && reason.contains(expected)),
                "{text}: {reasons:?}"
            );
        }
    }

    #[test]
    fn a_branch_that_is_dead_is_told_while_others_live() {
        let reasons = told("verdict == DROPPED && (verdict == ERROR || source.identity == 5)");
        assert_eq!(reasons.len(), 1);
        assert!(
            reasons[0].starts_with("never true: verdict is ERROR: 'verdict is ERROR' and"),
            "{reasons:?}"
        );
    }
}

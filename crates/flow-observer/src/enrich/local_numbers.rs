//! Numbers for the endpoints of this node: 16 bits as everywhere in Hubble, computed from the
//! endpoint's name so that they survive a restart and an edited file.

use foldhash::{HashMap, HashSet};

use super::identity;

/// Who has which number. There are no more than 65,535; whoever comes after that has none.
#[derive(Debug, Default)]
pub(super) struct LocalNumbers {
    by_name: HashMap<Box<str>, Number>,
    taken: HashSet<u16>,
}

#[derive(Debug)]
struct Number {
    number: u16,
    /// Claims about endpoints with this name: several providers may know one.
    users: usize,
}

impl LocalNumbers {
    /// The number of the endpoint with this name, which one more claim needs; 0 when there is none
    /// left. A number that another one has moves to the next that is free.
    pub(super) fn number(&mut self, name: [&str; 2]) -> u16 {
        let known = self.by_name.entry(joined(name)).or_insert_with(|| {
            let wanted = identity::of_labels(&name, 0);
            // 0 stands for what is not local.
            let free = (0..u32::from(u16::MAX))
                .filter_map(|step| u16::try_from((wanted + step) % u32::from(u16::MAX) + 1).ok())
                .find(|&number| !self.taken.contains(&number));
            self.taken.extend(free);
            Number {
                number: free.unwrap_or(0),
                users: 0,
            }
        });
        known.users += 1;
        known.number
    }

    /// One claim less needs the number.
    pub(super) fn release(&mut self, name: [&str; 2]) {
        let name = joined(name);
        let Some(known) = self.by_name.get_mut(&name) else {
            return;
        };
        known.users -= 1;
        if known.users == 0 {
            self.taken.remove(&known.number);
            self.by_name.remove(&name);
        }
    }
}

fn joined([namespace, pod]: [&str; 2]) -> Box<str> {
    format!("{namespace}/{pod}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_belongs_to_a_name_as_long_as_anybody_needs_it() {
        let mut numbers = LocalNumbers::default();
        let first = numbers.number(["shop", "web-0"]);
        assert_ne!(first, 0);
        assert_eq!(numbers.number(["shop", "web-0"]), first);
        assert_ne!(numbers.number(["shop", "web-1"]), first);
        numbers.release(["shop", "web-0"]);
        assert!(numbers.taken.contains(&first));
        numbers.release(["shop", "web-0"]);
        assert!(!numbers.taken.contains(&first));
        assert_eq!(numbers.number(["shop", "web-0"]), first, "also next time");
    }

    #[test]
    fn all_numbers_are_given_once_and_no_more() {
        let mut numbers = LocalNumbers::default();
        let names: Vec<String> = (0..u16::MAX).map(|it| format!("pod-{it}")).collect();
        let given: HashSet<u16> = names.iter().map(|it| numbers.number(["a", it])).collect();
        assert_eq!(given.len(), usize::from(u16::MAX));
        assert!(!given.contains(&0));
        assert_eq!(numbers.number(["a", "late"]), 0);
        numbers.release(["a", "late"]);
        numbers.release(["a", &names[7]]);
        assert_ne!(numbers.number(["a", "later"]), 0);
    }
}

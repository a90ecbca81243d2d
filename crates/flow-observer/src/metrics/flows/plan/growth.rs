//! Whether there are still new series: how many there were before the last flows.

/// How often to look, at most: more than [`LAST`], so that one of them is near to that.
const MARKS: usize = 64;
/// As much of all flows are the last ones.
const LAST: u64 = 10;

/// How many series there were after how many flows.
#[derive(Debug)]
pub(super) struct Growth {
    /// A mark each so many flows.
    every: u64,
    marks: Vec<(u64, Vec<usize>)>,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            every: 1,
            marks: Vec::new(),
        }
    }
}

impl Growth {
    /// Whether it is time for a mark.
    pub(super) fn is_due(&self, flows: u64) -> bool {
        flows.is_multiple_of(self.every)
    }

    /// Sets a mark: so many series of each metric after so many flows.
    pub(super) fn note(&mut self, flows: u64, series: Vec<usize>) {
        self.marks.push((flows, series));
        if self.marks.len() >= MARKS {
            self.every *= 2;
            let every = self.every;
            self.marks.retain(|(flows, _)| flows.is_multiple_of(every));
        }
    }

    /// How many series of each metric there were before the last tenth of the flows; `None` if nothing
    /// was looked at before.
    pub(super) fn before_last_tenth(&self, flows: u64) -> Option<&[usize]> {
        let begin = flows - flows / LAST;
        let before = self
            .marks
            .iter()
            .rfind(|&&(at, _)| at < flows && at <= begin);
        before.map(|(_, series)| series.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_near_to_the_last_tenth_however_many_flows_there_are() {
        for total in [2, 9, 10, 63, 64, 65, 1_000, 123_457] {
            let mut growth = Growth::default();
            for flows in 1..=total {
                if growth.is_due(flows) {
                    growth.note(flows, vec![flows as usize]);
                }
            }
            assert!(growth.marks.len() < MARKS);
            let before = growth.before_last_tenth(total).unwrap()[0] as u64;
            assert!(before < total, "{before} of {total}");
            assert!(
                before * 100 >= total * 85 || total < 10,
                "{before} of {total}"
            );
        }
        assert_eq!(Growth::default().before_last_tenth(0), None);
    }
}

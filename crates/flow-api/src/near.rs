//! Words that are spelled alike: what a person may have meant who wrote something that there is not.

/// Longer than anything that has a name of its own: not worth comparing.
const MOST_BYTES: usize = 256;

/// The word that was probably meant; `None` if none is near.
///
/// Upper and lower case do not matter. Of words that are equally near, the first one counts.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if word.len() > MOST_BYTES {
        return None;
    }
    let word = word.to_lowercase();
    // A third of the letters may be wrong.
    let most = (word.chars().count() / 3).max(1);
    let near = known.into_iter().map(|known| {
        let letters = known.to_lowercase();
        let distance = match letters.strip_prefix(word.as_str()) {
            // Who has begun a word has made no mistake yet.
            Some(_) if word.chars().count() >= 3 => 0,
            _ => distance(&letters, &word),
        };
        (distance, known)
    });
    let (distance, known) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= most).then_some(known)
}

/// How many letters must be added, dropped, changed, or swapped with the next one.
#[must_use]
pub fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // The rows of the table for the last two letters, and for this one.
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (index, letter) in from.chars().enumerate() {
        let mut row = vec![index + 1];
        for (column, other) in to.iter().enumerate() {
            let changed = last[column] + usize::from(letter != *other);
            let mut least = changed.min(last[column + 1] + 1).min(row[column] + 1);
            let is_swap = column > 0 && to[column - 1] == letter && previous == Some(*other);
            if is_swap && let Some(before) = before_last.get(column - 1) {
                least = least.min(before + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
        previous = Some(letter);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        for (from, to, expected) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("verdict", "verdit", 1),
            ("dropped", "droped", 1),
            ("ab", "cd", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn only_what_is_near_is_proposed() {
        let known = ["FORWARDED", "DROPPED", "ERROR"];
        assert_eq!(nearest("droped", known), Some("DROPPED"));
        assert_eq!(nearest("forw", known), Some("FORWARDED"));
        assert_eq!(nearest("denied", known), None);
        let fields = ["name", "ips", "labels"];
        assert_eq!(nearest("nmae", fields), Some("name"));
        assert_eq!(nearest("ip", fields), Some("ips"));
        assert_eq!(nearest("zone", fields), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!(nearest(&"x".repeat(10_000), ["xx"]), None);
    }
}

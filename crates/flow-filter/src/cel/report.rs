//! What is wrong with an expression, and where: the report that a client reads.

use std::fmt;

/// As many mistakes are reported at most. A long expression may be wrong everywhere, and the report
/// travels in the headers of an answer.
const MOST_MISTAKES: usize = 10;

/// For the same reason, in characters: what is said about a mistake, and the line that is shown.
const MOST_SHOWN: usize = 400;

/// The mistakes of one expression, each with the line that it stands in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    mistakes: Vec<Mistake>,
}

/// One mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Mistake {
    /// From 1.
    line: usize,
    /// In characters, from 1; 0 for an expression that is empty.
    column: usize,
    problem: String,
    /// The same in plain words, where they are others.
    plain: Option<String>,
    /// The text of the line, unless it is too long.
    text: Option<String>,
}

/// Mistakes as they are found.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<Found>);

#[derive(Debug)]
struct Found {
    /// In bytes.
    place: usize,
    problem: String,
    plain: Option<String>,
}

impl Mistakes {
    pub(super) fn add(&mut self, place: usize, problem: impl Into<String>) {
        self.push(place, problem.into(), None);
    }

    /// A mistake that is told in other words where nobody expects those of CEL.
    pub(super) fn add_in_words(
        &mut self,
        place: usize,
        problem: impl Into<String>,
        plain: impl Into<String>,
    ) {
        self.push(place, problem.into(), Some(plain.into()));
    }

    fn push(&mut self, place: usize, problem: String, plain: Option<String>) {
        if self.0.len() < MOST_MISTAKES {
            self.0.push(Found {
                place,
                problem: shortened(problem),
                plain: plain.map(shortened),
            });
        }
    }

    /// What to say about the expression, if anything.
    pub(super) fn report(mut self, expression: &str) -> Result<(), Report> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by_key(|found| found.place);
        let mistakes = self.0.into_iter();
        Err(Report {
            mistakes: mistakes
                .map(|found| Mistake::at(expression, found))
                .collect(),
        })
    }
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MOST_SHOWN) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

impl Mistake {
    fn at(expression: &str, found: Found) -> Self {
        let Found {
            place,
            problem,
            plain,
        } = found;
        let before = expression.get(..place).unwrap_or(expression);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let text = expression[line_start..].split('\n').next().unwrap_or("");
        let is_shown = !expression.is_empty() && text.chars().count() <= MOST_SHOWN;
        Self {
            line: before.matches('\n').count() + 1,
            column: if expression.is_empty() {
                0
            } else {
                before[line_start..].chars().count() + 1
            },
            problem,
            plain,
            text: is_shown.then(|| text.to_owned()),
        }
    }
}

impl Report {
    /// The mistakes for a reader who knows nothing of CEL: what is wrong, and below it the line with
    /// a mark under the place.
    pub(super) fn in_plain_words(&self) -> String {
        let mut text = String::new();
        for mistake in &self.mistakes {
            if !text.is_empty() {
                text.push('\n');
            }
            // What cannot be read makes the rest look wrong, too.
            let is_last = mistake.problem.starts_with("Syntax error");
            text.push_str(mistake.plain.as_deref().unwrap_or(&mistake.problem));
            match &mistake.text {
                Some(line) => {
                    // Tabs stay what they are, so that the mark stands where the place is.
                    let before = line.chars().take(mistake.column.saturating_sub(1));
                    let indent: String = before
                        .map(|letter| if letter == '\t' { '\t' } else { ' ' })
                        .collect();
                    text.push_str(&format!("\n  {line}\n  {indent}^"));
                }
                None => text.push_str(&format!(
                    " (line {}, column {})",
                    mistake.line, mistake.column
                )),
            }
            if is_last {
                break;
            }
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            let Mistake {
                line,
                column,
                problem,
                plain: _,
                text,
            } = mistake;
            write!(formatter, "ERROR: <input>:{line}:{column}: {problem}")?;
            if let Some(text) = text {
                write!(formatter, "\n | {text}\n | {:.>column$}", "^")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(expression: &str, places: &[usize]) -> String {
        let mut mistakes = Mistakes::default();
        for place in places {
            mistakes.add(*place, "wrong");
        }
        mistakes.report(expression).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_shown_in_its_line() {
        for (expression, place, expected) in [
            ("abc", 0, "ERROR: <input>:1:1: wrong\n | abc\n | ^"),
            ("1 +", 3, "ERROR: <input>:1:4: wrong\n | 1 +\n | ...^"),
            (
                "ü +\n é x",
                9,
                "ERROR: <input>:2:4: wrong\n |  é x\n | ...^",
            ),
            ("", 0, "ERROR: <input>:1:0: wrong"),
        ] {
            assert_eq!(report(expression, &[place]), expected);
        }
    }

    #[test]
    fn what_is_too_long_is_not_shown() {
        let long = "a".repeat(401);
        assert_eq!(report(&long, &[400]), "ERROR: <input>:1:401: wrong");
        let mut mistakes = Mistakes::default();
        mistakes.add(0, long);
        let report = mistakes.report("b").unwrap_err().to_string();
        assert!(
            report.contains(&format!("{}...\n", "a".repeat(400))),
            "{report}"
        );
    }

    #[test]
    fn mistakes_are_sorted_by_place_and_limited() {
        assert_eq!(
            report("ab", &[1, 0]),
            "ERROR: <input>:1:1: wrong\n | ab\n | ^\nERROR: <input>:1:2: wrong\n | ab\n | .^"
        );
        assert_eq!(report("ab", &[0; 100]).matches("wrong").count(), 10);
    }
}

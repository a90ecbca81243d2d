//! Renders the help text of a command.

use crate::cli::{Entry, Listed, Topic};
use crate::program;

/// What the help text says besides the flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// The command with the program's name, as in `palomar list nodes`.
    pub(crate) path: &'static str,
    /// What the command is for, in a line.
    pub(crate) about: &'static str,
    /// More about that, or nothing.
    pub(crate) details: &'static str,
    /// Commands to copy, or nothing.
    pub(crate) examples: &'static str,
}

/// Where text ends when nobody says how wide the screen is.
const WIDTH: usize = 100;

/// Lines longer than this are hard to follow, on however wide a screen.
const MAX_WIDTH: usize = 120;

/// Below this there is no room for two columns.
const MIN_WIDTH: usize = 60;

/// Flags that are spelled longer have their help below them.
const MAX_SPELLING: usize = 34;

/// Names of commands take at least this many columns, so that short lists look like long ones.
const MIN_NAME: usize = 11;

/// Stands before flags that only we have.
const MARK: char = '+';

/// The whole text, ready to print, for the width of the terminal.
pub(crate) fn render(topic: &Topic) -> String {
    let width = match terminal_size::terminal_size_of(std::io::stdout()) {
        Some((terminal_size::Width(width), _)) => usize::from(width).clamp(MIN_WIDTH, MAX_WIDTH),
        None => WIDTH,
    };
    program::renamed(&text(topic, width)).into_owned()
}

fn text(topic: &Topic, width: usize) -> String {
    let mut out = String::new();
    wrap(&mut out, &topic.about, 0, width);
    if !topic.details.is_empty() {
        out.push('\n');
        out.push_str(&topic.details);
        out.push('\n');
    }
    out.push_str("\nUsage:\n");
    for line in usage(topic) {
        out.push_str("  ");
        out.push_str(&line);
        out.push('\n');
    }
    if !topic.aliases.is_empty() {
        out.push_str("\nAliases:\n  ");
        out.push_str(&topic.aliases.join(", "));
        out.push('\n');
    }
    commands(&mut out, "Available Commands", topic, width, |listed| {
        listed.is_hubbles
    });
    commands(&mut out, "More Commands", topic, width, |listed| {
        !listed.is_hubbles
    });
    let mut has_ours = false;
    for group in &topic.groups {
        if group.heading.is_empty() {
            continue;
        }
        out.push_str(&format!("\n{}:\n", group.heading));
        let longest = group
            .entries
            .iter()
            .map(|entry| entry.spelling().chars().count())
            .filter(|length| *length <= MAX_SPELLING)
            .max()
            .unwrap_or(MAX_SPELLING);
        for entry in &group.entries {
            has_ours |= entry.is_ours;
            flag(&mut out, entry, longest, width);
        }
    }
    if has_ours {
        out.push_str(&format!(
            "\n{MARK} stands before what Hubble's client does not have.\n"
        ));
    }
    if !topic.examples.is_empty() {
        out.push('\n');
        out.push_str(&topic.examples);
        out.push('\n');
    }
    if !topic.commands.is_empty() {
        out.push_str(&format!(
            "\nMore about a command: {} COMMAND --help\n",
            topic.path
        ));
    }
    out
}

/// How the command is typed, a line for each way.
pub(crate) fn usage(topic: &Topic) -> Vec<String> {
    let mut lines = Vec::new();
    if topic.runs {
        let arguments = match topic.arguments {
            "" => String::new(),
            arguments => format!(" {arguments}"),
        };
        lines.push(format!("{}{arguments} [FLAGS]", topic.path));
    }
    if !topic.commands.is_empty() {
        lines.push(format!("{} COMMAND", topic.path));
    }
    lines
}

fn commands(
    out: &mut String,
    heading: &str,
    topic: &Topic,
    width: usize,
    is_listed: impl Fn(&Listed) -> bool,
) {
    let listed: Vec<&Listed> = topic
        .commands
        .iter()
        .filter(|listed| is_listed(listed))
        .collect();
    if listed.is_empty() {
        return;
    }
    out.push_str(&format!("\n{heading}:\n"));
    let column = topic
        .commands
        .iter()
        .map(|listed| listed.name.len())
        .fold(MIN_NAME, usize::max);
    for listed in listed {
        out.push_str(&format!("  {:column$} ", listed.name));
        wrap(out, listed.about, column + 3, width);
    }
}

fn flag(out: &mut String, entry: &Entry, longest: usize, width: usize) {
    let spelling = entry.spelling();
    let column = 2 + longest + 2;
    out.push(if entry.is_ours { MARK } else { ' ' });
    out.push(' ');
    out.push_str(&spelling);
    let length = spelling.chars().count();
    let blanks = if length <= longest {
        longest + 2 - length
    } else {
        out.push('\n');
        column
    };
    out.extend(std::iter::repeat_n(' ', blanks));
    wrap(out, &entry.help, column, width);
}

/// Appends a text that begins in this column, and goes on there in the next lines. No line begins
/// with a hyphen: it would look like another flag.
fn wrap(out: &mut String, text: &str, column: usize, width: usize) {
    let room = width.saturating_sub(column).max(20);
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut start = 0;
    while start < words.len() {
        let mut end = start;
        let mut length = 0;
        while end < words.len() {
            let with = length + usize::from(end > start) + words[end].chars().count();
            if with > room && end > start {
                break;
            }
            length = with;
            end += 1;
        }
        while end < words.len() && end > start + 1 && words[end].starts_with('-') {
            end -= 1;
        }
        if start > 0 {
            out.extend(std::iter::repeat_n(' ', column));
        }
        out.push_str(&words[start..end].join(" "));
        out.push('\n');
        start = end;
    }
    if words.is_empty() {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_before_the_edge_and_begin_with_no_hyphen() {
        let mut out = String::new();
        wrap(
            &mut out,
            "hide what the next matches: --not --port 53",
            4,
            34,
        );
        assert_eq!(out, "hide what the next\n    matches: --not --port 53\n");
    }

    #[test]
    fn words_that_are_too_long_stand_alone() {
        let mut out = String::new();
        wrap(&mut out, "a 012345678901234567890123456789 b", 0, 20);
        assert_eq!(out, "a\n012345678901234567890123456789\nb\n");
    }
}

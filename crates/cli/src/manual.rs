//! `palomar man`: manual pages, from the same tables as the help texts.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::cli::{Command, Entry, Globals, Topic};
use crate::flags::{Accept, Flag, Section, ValueError, help};
use crate::program;
use crate::source::reason;

/// The flags of `palomar man`.
pub(crate) const SECTION: Section = Section {
    heading: "Manual Flags",
    flags: &[Flag::value(
        "output-dir",
        "DIR",
        "Write the pages of all commands into this directory, as palomar-observe.1",
    )],
};

/// What was typed.
#[derive(Debug, Default)]
pub(crate) struct Args {
    output_dir: Option<PathBuf>,
}

impl Accept for Args {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        if flag.long == "output-dir" {
            self.output_dir = Some(text.into());
            return Ok(true);
        }
        Ok(false)
    }
}

/// Prints the page of the command that the words name, or writes all pages.
pub(crate) fn run(globals: &Globals<Args>, mut words: Vec<String>) -> anyhow::Result<()> {
    if let Some(directory) = &globals.command.output_dir {
        return write_all(directory);
    }
    let command = Command::find(&mut words)?;
    crate::command::print(&page(&command.topic()))
}

fn write_all(directory: &Path) -> anyhow::Result<()> {
    let fail = |path: &Path, error: std::io::Error| {
        anyhow::anyhow!("cannot write {}: {}", path.display(), reason(&error))
    };
    fs::create_dir_all(directory).map_err(|error| fail(directory, error))?;
    for command in Command::root().all() {
        let topic = command.topic();
        let file = directory.join(format!("{}.1", title(&topic)));
        fs::write(&file, page(&topic)).map_err(|error| fail(&file, error))?;
    }
    Ok(())
}

/// The name of a page: `palomar-list-nodes`.
fn title(topic: &Topic) -> String {
    program::renamed(topic.path).replace(' ', "-")
}

/// The page of a command, for `man`.
fn page(topic: &Topic) -> String {
    let name = title(topic);
    let mut page = Page::default();
    page.request(&format!(
        "TH {} 1 \"\" \"palomar {}\" \"User Commands\"",
        escaped(&name.to_uppercase()),
        env!("CARGO_PKG_VERSION")
    ));
    page.request("SH NAME");
    page.text(&format!("{name} - {}", topic.about));
    page.request("SH SYNOPSIS");
    for (index, line) in help::usage(topic).iter().enumerate() {
        if index > 0 {
            page.request("br");
        }
        page.text(&program::renamed(line));
    }
    if !topic.details.is_empty() {
        page.request("SH DESCRIPTION");
        page.text(&program::renamed(&topic.details));
    }
    if !topic.commands.is_empty() {
        page.request("SH COMMANDS");
        for listed in &topic.commands {
            page.item(&format!("\\fB{}\\fR", escaped(listed.name)), listed.about);
        }
    }
    page.flags(topic);
    if !topic.examples.is_empty() {
        page.request("SH EXAMPLES");
        page.request("nf");
        let examples = program::renamed(&topic.examples);
        for line in examples.lines().filter(|line| *line != "Examples:") {
            page.text(line);
        }
        page.request("fi");
    }
    page.surroundings(topic);
    page.out
}

/// A page as it grows.
#[derive(Default)]
struct Page {
    out: String,
}

impl Page {
    /// A line that tells how to set what follows.
    fn request(&mut self, request: &str) {
        self.out.push('.');
        self.out.push_str(request);
        self.out.push('\n');
    }

    /// Lines that stand as they are.
    fn text(&mut self, text: &str) {
        for line in text.lines() {
            let escaped = escaped(line);
            if escaped.starts_with(['.', '\'']) {
                // No request, although it looks like one.
                self.out.push_str("\\&");
            }
            self.out.push_str(&escaped);
            self.out.push('\n');
        }
    }

    /// A word with its explanation. The word is set as it is.
    fn item(&mut self, word: &str, about: &str) {
        self.request("TP");
        self.out.push_str(word);
        self.out.push('\n');
        self.text(about);
    }

    fn flags(&mut self, topic: &Topic) {
        let told: Vec<_> = topic
            .groups
            .iter()
            .filter(|group| !group.heading.is_empty())
            .collect();
        if told.is_empty() {
            return;
        }
        self.request("SH FLAGS");
        let has_ours = told
            .iter()
            .any(|group| group.entries.iter().any(|entry| entry.is_ours));
        if has_ours {
            self.text("+ stands before what Hubble's client does not have.");
        }
        for group in told {
            let heading = group.heading.replace(" Flags", "");
            self.request(&format!("SS {}", escaped(&heading)));
            for entry in &group.entries {
                self.item(&spelling(entry), &program::renamed(&entry.help));
            }
        }
    }

    fn surroundings(&mut self, topic: &Topic) {
        if topic.path == program::OWN {
            self.request("SH ENVIRONMENT");
            self.item(
                "\\fBPALOMAR_\\fINAME\\fR, \\fBHUBBLE_\\fINAME\\fR",
                "The value of the flag of this name, in capitals and with underscores, where the \
                flag is not given: PALOMAR_SERVER, HUBBLE_TLS_SERVER_NAME. PALOMAR_ wins.",
            );
            self.item(
                "\\fBPALOMAR_LOG\\fR",
                "What to log, as in debug or relay=trace.",
            );
            self.request("SH FILES");
            self.item(
                "~/.config/palomar/config.yaml",
                "Settings by the names of their flags. Without this file \
                ~/.config/hubble/config.yaml is read. See palomar-config(1).",
            );
        }
        self.request("SH EXIT STATUS");
        self.text(match topic.path {
            "palomar doctor" => {
                "0 if all is well, 1 if a check failed, 2 if it is not clear what to check."
            }
            _ => "0 when done, also when nobody reads the output any more; 1 for every failure.",
        });
        self.request("SH SEE ALSO");
        let parent = topic.path.rsplit_once(' ').map(|(parent, _)| parent);
        let children = topic.commands.iter().map(|listed| listed.name);
        let pages: Vec<String> = parent
            .into_iter()
            .map(str::to_owned)
            .chain(children.map(|name| format!("{} {name}", topic.path)))
            .map(|path| format!("{}(1)", program::renamed(&path).replace(' ', "-")))
            .collect();
        self.text(&pages.join(", "));
    }
}

/// A flag as it is typed, with fonts.
fn spelling(entry: &Entry) -> String {
    let mut out = String::new();
    if entry.is_ours {
        out.push_str("+ ");
    }
    let mut append = |text: std::fmt::Arguments<'_>| {
        let written = out.write_fmt(text);
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    };
    if let Some(letter) = entry.short {
        append(format_args!("\\fB\\-{letter}\\fR, "));
    }
    append(format_args!("\\fB\\-\\-{}\\fR", escaped(&entry.long)));
    if let Some(value) = &entry.value {
        append(format_args!(" \\fI{}\\fR", escaped(value)));
    }
    out
}

/// Text without what has a meaning to `man`.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> String {
        let mut words = line.split(' ').map(str::to_owned).collect();
        page(&Command::find(&mut words).unwrap().topic())
    }

    #[test]
    fn a_page_has_all_flags_and_examples() {
        let page = of("observe");
        for text in [
            ".TH PALOMAR\\-OBSERVE 1",
            "palomar\\-observe \\- Show flows",
            "\\fB\\-f\\fR, \\fB\\-\\-follow\\fR\n",
            "\\fB\\-\\-verdict\\fR \\fIVERDICT\\fR\n",
            "+ \\fB\\-\\-detail\\fR",
            ".SH EXAMPLES",
            "palomar\\-observe\\-flows(1)",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
    }

    #[test]
    fn no_text_is_taken_for_a_request() {
        for command in Command::root().all() {
            let page = page(&command.topic());
            for line in page.lines().filter(|line| line.starts_with('.')) {
                let name = line[1..].split(' ').next().unwrap();
                let known = ["TH", "SH", "SS", "TP", "nf", "fi", "br"];
                assert!(known.contains(&name), "{line}");
            }
        }
    }

    #[test]
    fn text_that_looks_like_a_request_is_none() {
        let mut page = Page::default();
        page.text(".x\n'y\n\\z");
        assert_eq!(page.out, "\\&.x\n\\&'y\n\\ez\n");
    }
}

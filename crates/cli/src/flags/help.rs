//! Renders the help text of a command from its flags, with clap's layout.

use clap::{Arg, ArgAction};

use super::{Section, Takes};

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

/// The whole text, ready to print. `commands` are those below this one: name and what for.
pub(crate) fn render(
    page: &Page,
    sections: &[Section],
    commands: impl Iterator<Item = (&'static str, &'static str)>,
) -> String {
    let about = match page.details {
        "" => page.about.to_owned(),
        details => format!("{}\n\n{details}", page.about),
    };
    let mut command = clap::Command::new(page.path)
        .bin_name(page.path)
        .about(about)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .subcommand_help_heading("Available Commands")
        .after_help(page.examples)
        .help_template("{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}");
    for section in sections {
        for flag in section.flags {
            let arg = Arg::new(flag.long)
                .long(flag.long)
                .help(flag.help)
                .help_heading(section.heading);
            let arg = match flag.short {
                Some(letter) => arg.short(letter),
                None => arg,
            };
            command = command.arg(match flag.takes {
                Takes::Value(name) => arg.value_name(name).action(ArgAction::Append),
                Takes::Optional(_) => arg.action(ArgAction::SetTrue),
            });
        }
    }
    for (name, about) in commands {
        command = command.subcommand(clap::Command::new(name).about(about));
    }
    command.render_help().to_string()
}

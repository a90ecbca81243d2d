//! The flags of commands that ask a server once and print the answer.

use crate::flags::{Accept, Flag, Section, ValueError};
use crate::settings::ServerArgs;

/// How the answer looks.
pub(crate) const SECTION: Section = Section {
    heading: "Formatting Flags",
    flags: &[Flag::value(
        "output",
        "FORMAT",
        "status: compact, dict, table or json; lists: table, wide or json",
    )
    .short('o')],
};

/// What was typed.
#[derive(Debug, Default)]
pub(crate) struct Args {
    /// The format; the command knows its default.
    pub(crate) output: Option<String>,
    /// Whom to ask.
    pub(crate) server: ServerArgs,
}

impl Accept for Args {
    fn accept(&mut self, flag: &'static Flag, value: &str) -> Result<bool, ValueError> {
        if flag.long == "output" {
            self.output = Some(value.to_owned());
            return Ok(true);
        }
        self.server.accept(flag, value)
    }
}

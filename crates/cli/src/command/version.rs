//! `palomar version`.

use flow_api::HUBBLE_VERSION;

use crate::flags::{Accept, Flag, Section, ValueError, value};
use crate::program;
use crate::settings::ServerArgs;

/// What the program itself takes without a command.
pub(crate) const SECTION: Section = Section {
    heading: "",
    flags: &[Flag::switch("version", "Print the version").short('v')],
};

/// What was typed without a command.
#[derive(Debug, Default)]
pub(crate) struct Args {
    /// Whether to print the version.
    pub(crate) version: bool,
    server: ServerArgs,
}

impl Accept for Args {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        if flag.long == "version" {
            self.version = value::switch(text)?;
            return Ok(true);
        }
        self.server.accept(flag, text)
    }
}

/// The program and its version. Who calls it `hubble` asks for the version of Hubble's API.
pub(crate) fn short() -> String {
    match program::name() {
        program::OWN => format!("palomar v{}", env!("CARGO_PKG_VERSION")),
        name => format!("{name} v{HUBBLE_VERSION}"),
    }
}

/// The same with what else tells builds apart.
pub(crate) fn text() -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    match program::name() {
        program::OWN => format!("{} (Hubble API {HUBBLE_VERSION}, {os}/{arch})", short()),
        _ => format!(
            "{} (palomar v{}, {os}/{arch})",
            short(),
            env!("CARGO_PKG_VERSION")
        ),
    }
}

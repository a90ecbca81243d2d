//! Colours, for those who want them.

use std::io::IsTerminal as _;

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Color(bool);

/// The colours in use, as the parameter of the terminal's command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Magenta = 35,
    Cyan = 36,
}

impl Color {
    /// No colours.
    pub(crate) const OFF: Self = Self(false);

    /// By the value of `--color`: `always`, `never`, and anything else means only on a terminal
    /// that can, unless `$NO_COLOR` says otherwise.
    pub(crate) fn choose(when: &str) -> Self {
        match when.to_lowercase().as_str() {
            "always" => Self(true),
            "never" => Self(false),
            _ => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                    || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                Self(!refused && std::io::stdout().is_terminal())
            }
        }
    }

    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    /// Appends what `text` appends, in a colour.
    pub(super) fn paint(self, out: &mut Vec<u8>, paint: Paint, text: impl FnOnce(&mut Vec<u8>)) {
        if !self.0 {
            return text(out);
        }
        super::append!(out, "\x1b[{}m", paint as u8);
        text(out);
        out.extend_from_slice(b"\x1b[0m");
    }
}

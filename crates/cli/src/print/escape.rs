//! Makes text from the wire harmless to terminals.

use std::io::IsTerminal as _;

/// How far to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Escape {
    /// Not at all: for files and pipes where Hubble's command line does nothing.
    Nothing,
    /// For files and pipes: what starts a terminal's commands, and what overwrites a line. Exactly
    /// what Hubble's command line replaces, so that programs read the same bytes.
    Pipe,
    /// For terminals: all control characters but tabs and line ends.
    Terminal,
}

impl Escape {
    /// What answers on standard output need that are not events.
    pub(crate) fn for_answers() -> Self {
        if std::io::stdout().is_terminal() {
            Self::Terminal
        } else {
            Self::Nothing
        }
    }

    /// What events on standard output need.
    pub(crate) fn for_stdout() -> Self {
        if std::io::stdout().is_terminal() {
            Self::Terminal
        } else {
            Self::Pipe
        }
    }

    /// Appends `text` with what could do harm made visible.
    pub(crate) fn write(self, out: &mut Vec<u8>, text: &str) {
        let mut plain_from = 0;
        for (index, c) in text.char_indices() {
            if !self.is_harmful(c) {
                continue;
            }
            out.extend_from_slice(&text.as_bytes()[plain_from..index]);
            plain_from = index + c.len_utf8();
            match c {
                '\r' => out.extend_from_slice(b"\\r"),
                // The caret form: ^[ for escape, ^G for the bell.
                '\0'..='\x1f' => out.extend_from_slice(&[b'^', c as u8 ^ 0x40]),
                '\x7f' => out.extend_from_slice(b"^?"),
                _ => super::append!(out, "\\u{:04x}", u32::from(c)),
            }
        }
        out.extend_from_slice(&text.as_bytes()[plain_from..]);
    }

    fn is_harmful(self, c: char) -> bool {
        match c {
            _ if self == Self::Nothing => false,
            '\x1b' | '\r' => true,
            '\t' | '\n' => false,
            _ => self == Self::Terminal && c.is_control(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, text: &str) -> String {
        let mut out = Vec::new();
        escape.write(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escape_sequences_and_carriage_returns_never_pass() {
        let text = "a\x1b[31mb\r\n\tc";
        assert_eq!(escaped(Escape::Pipe, text), "a^[[31mb\\r\n\tc");
        assert_eq!(escaped(Escape::Terminal, text), "a^[[31mb\\r\n\tc");
    }

    #[test]
    fn terminals_get_no_control_character_at_all() {
        let text = "bell\x07 bs\x08 csi\u{9b}31m del\x7f";
        assert_eq!(escaped(Escape::Pipe, text), text);
        assert_eq!(
            escaped(Escape::Terminal, text),
            "bell^G bs^H csi\\u009b31m del^?"
        );
    }
}

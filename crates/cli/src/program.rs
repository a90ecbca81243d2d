//! The name by which this program was called, for the texts that it prints.
//!
//! A link named `hubble` makes it answer to the fingers and scripts that know that name: usage
//! texts, examples and completions then say `hubble`, too.

use std::{borrow::Cow, env, path::Path, sync::LazyLock};

/// The program's own name, as the texts in this crate have it.
pub(crate) const OWN: &str = "palomar";

/// The other name that it goes by.
pub(crate) const HUBBLE: &str = "hubble";

/// What to call the program.
pub(crate) fn name() -> &'static str {
    static NAME: LazyLock<&str> = LazyLock::new(|| {
        let called = env::args_os().next().unwrap_or_default();
        match Path::new(&called).file_stem() {
            Some(stem) if stem == HUBBLE => HUBBLE,
            _ => OWN,
        }
    });
    *NAME
}

/// A text of this crate with commands as the user would type them.
pub(crate) fn renamed(text: &str) -> Cow<'_, str> {
    rename(text, name())
}

/// Replaces [`OWN`] where it stands for the command: a word of its own, in no path.
fn rename<'a>(text: &'a str, name: &str) -> Cow<'a, str> {
    if name == OWN {
        return Cow::Borrowed(text);
    }
    let mut renamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OWN) {
        let (before, from) = rest.split_at(at);
        let after = &from[OWN.len()..];
        let starts = before
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '('));
        let ends = after
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ')' | ',' | ':'));
        renamed.push_str(before);
        renamed.push_str(if starts && ends { name } else { OWN });
        rest = after;
    }
    renamed.push_str(rest);
    Cow::Owned(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_change_their_name_and_paths_keep_theirs() {
        let renamed = |text| rename(text, HUBBLE).into_owned();
        assert_eq!(renamed("palomar observe -f"), "hubble observe -f");
        assert_eq!(renamed("run 'palomar help'"), "run 'hubble help'");
        assert_eq!(
            renamed("~/.config/palomar/config.yaml, unix:///run/palomar/observer.sock"),
            "~/.config/palomar/config.yaml, unix:///run/palomar/observer.sock"
        );
        assert_eq!(rename("palomar observe", OWN), "palomar observe");
    }
}

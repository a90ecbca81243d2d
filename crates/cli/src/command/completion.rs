//! `palomar completion`: scripts that make shells ask `palomar __complete` for words.

use crate::cli::{Action, Command, GLOBAL};
use crate::flags::{Section, help::Page};
use crate::{program, settings};

/// A shell that we have a script for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shell {
    Bash,
    Fish,
    /// PowerShell.
    Power,
    Zsh,
}

impl Shell {
    /// The script, for the name that the program was called by.
    pub(crate) fn script(self) -> String {
        let template = match self {
            Self::Bash => include_str!("completion/palomar.bash"),
            Self::Fish => include_str!("completion/palomar.fish"),
            Self::Power => include_str!("completion/palomar.ps1"),
            Self::Zsh => include_str!("completion/palomar.zsh"),
        };
        template.replace(program::OWN, program::name())
    }
}

const SECTIONS: &[Section] = &[GLOBAL, settings::UNTOLD];

/// The command and one for each shell.
pub(crate) const COMMAND: Command = Command::parent(
    &["completion"],
    Page {
        path: "palomar completion",
        about: "Print a script that makes a shell complete commands, flags and values",
        details: "Completes commands, flags, words that flags take, files, and namespaces and nodes \
            that the server\nknows. The help of each shell tells how to use the script.",
        examples: "Examples:\n  source <(palomar completion bash)",
    },
    SECTIONS,
    &[
        Command::leaf(
            &["bash"],
            Page {
                path: "palomar completion bash",
                about: "Print the script for bash",
                details: "",
                examples: "Examples:\n  In this shell:\n    source <(palomar completion bash)\n\n  \
                    In each new one:\n    palomar completion bash > \
                    ~/.local/share/bash-completion/completions/palomar",
            },
            SECTIONS,
            Action::Completion(Shell::Bash),
        ),
        Command::leaf(
            &["fish"],
            Page {
                path: "palomar completion fish",
                about: "Print the script for fish",
                details: "",
                examples: "Examples:\n  In this shell:\n    palomar completion fish | source\n\n  \
                    In each new one:\n    palomar completion fish > \
                    ~/.config/fish/completions/palomar.fish",
            },
            SECTIONS,
            Action::Completion(Shell::Fish),
        ),
        Command::leaf(
            &["powershell"],
            Page {
                path: "palomar completion powershell",
                about: "Print the script for PowerShell",
                details: "",
                examples: "Examples:\n  In this shell, and from the profile in each new one:\n    \
                    palomar completion powershell | Out-String | Invoke-Expression",
            },
            SECTIONS,
            Action::Completion(Shell::Power),
        ),
        Command::leaf(
            &["zsh"],
            Page {
                path: "palomar completion zsh",
                about: "Print the script for zsh",
                details: "",
                examples: "Examples:\n  In this shell:\n    source <(palomar completion zsh)\n\n  \
                    In each new one, where compinit runs:\n    palomar completion zsh > \
                    \"${fpath[1]}/_palomar\"",
            },
            SECTIONS,
            Action::Completion(Shell::Zsh),
        ),
    ],
);

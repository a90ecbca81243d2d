//! `cargo xtask deny`: what `deny.toml` at the root says about dependencies, checked by cargo-deny.

use std::process::Command;

use anyhow::Result;

use crate::workspace;

/// The version that is installed: fixed, so that a new one never fails an unchanged tree.
const VERSION: &str = "0.20.2";

pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let cargo_deny = workspace::tool(&root, "cargo-deny", VERSION)?;
    let command = || {
        let mut command = Command::new(&cargo_deny);
        command.current_dir(&root);
        command
    };

    workspace::run(command().args([
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    if !command().args(["fetch", "db"]).status()?.success() {
        println!("advisories SKIPPED: the database of known vulnerabilities cannot be reached");
        return Ok(());
    }
    workspace::run(command().args(["--offline", "check", "advisories"]))
}

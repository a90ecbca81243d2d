//! What holds where no flag says otherwise: the environment, then a file.
//!
//! `$PALOMAR_<NAME>` beats `$HUBBLE_<NAME>`, and that beats the file. The names are those of the
//! flags, with `_` for `-` and in capitals in the environment. The file is YAML:
//!
//! ```yaml
//! server: tls://relay.example:443
//! tls-ca-cert-files: [ca.pem]
//! denylist:
//!   - '{"source_pod":["kube-system/"]}'
//! ```

mod emit;
pub(crate) mod file;
pub(crate) mod keys;
mod value;

use std::{
    env,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use tracing::{debug, warn};

pub(crate) use emit::yaml;
use file::{FileError, Values};
pub(crate) use value::{Value, duration_ns, duration_text};

/// Values by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    file: Values,
    origin: Origin,
}

/// What became of the file.
#[derive(Clone, Debug, Default)]
enum Origin {
    /// Nobody has one, or a place for one.
    #[default]
    Absent,
    /// It was read.
    Read(PathBuf),
    /// It is not there yet. Somebody named it, or it is the usual one.
    Missing { path: PathBuf, is_named: bool },
    /// It cannot be used.
    Refused(PathBuf, String),
}

impl Config {
    /// Reads the file: the one that was named, else `$PALOMAR_CONFIG`, else the user's. One that
    /// cannot be used is empty; [`log`](Self::log) says why.
    pub(crate) fn load(named: Option<&str>) -> Self {
        let named = named
            .map(PathBuf::from)
            .or_else(|| environment(keys::CONFIG).map(PathBuf::from));
        let is_named = named.is_some();
        let Some(path) = named.or_else(file::usual) else {
            return Self::default();
        };
        match file::read(&path) {
            Ok(file) => Self {
                file,
                origin: Origin::Read(path),
            },
            Err(FileError::Unreadable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                Self {
                    file: Values::new(),
                    origin: Origin::Missing { path, is_named },
                }
            }
            Err(error) => Self {
                file: Values::new(),
                origin: Origin::Refused(path, error.to_string()),
            },
        }
    }

    /// Whether debug messages are configured.
    pub(crate) fn wants_debug(&self) -> bool {
        self.find("debug").is_some_and(|value| value.switch())
    }

    /// Logs which file was used, or why none was. Apart from [`load`](Self::load), since what to log
    /// is itself configured.
    ///
    /// Hubble's client says nothing of a file that it cannot use, and scripts may count on that. A
    /// person at a terminal is told.
    pub(crate) fn log(&self) {
        match &self.origin {
            Origin::Read(path) => debug!(configFile = %path.display(), "Using config file"),
            Origin::Missing {
                path,
                is_named: true,
            } if io::stderr().is_terminal() => {
                warn!(file = %path.display(), "config file not found");
            }
            Origin::Refused(path, error) if io::stderr().is_terminal() => {
                warn!(file = %path.display(), error, "config file ignored");
            }
            Origin::Absent | Origin::Missing { .. } => {}
            Origin::Refused(path, error) => {
                debug!(file = %path.display(), error, "config file ignored");
            }
        }
    }

    /// The file, whether it is there or not.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Absent => None,
            Origin::Read(path) | Origin::Missing { path, .. } | Origin::Refused(path, _) => {
                Some(path)
            }
        }
    }

    /// What the file says.
    pub(crate) const fn values(&self) -> &Values {
        &self.file
    }

    /// What the environment says, else the file.
    pub(crate) fn find(&self, name: &str) -> Option<Value> {
        environment(name)
            .map(Value::Text)
            .or_else(|| self.file.get(name).cloned())
    }

    /// A value as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.find(name)?.text()
    }

    /// A value as a list. In a text, blanks part the elements.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.find(name)
            .map(|value| value.list())
            .unwrap_or_default()
    }
}

/// A variable of the environment; an empty one counts as not set.
fn environment(name: &str) -> Option<String> {
    let name = name.to_uppercase().replace('-', "_");
    ["PALOMAR", "HUBBLE"]
        .iter()
        .filter_map(|prefix| env::var(format!("{prefix}_{name}")).ok())
        .find(|text| !text.is_empty())
}

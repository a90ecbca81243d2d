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

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use serde::Deserialize;
use tracing::{debug, warn};

use crate::flags::value;

/// Where a file is looked for below the user's configuration directory, first come first served.
/// Hubble's own comes last, so that who has one needs no second.
const PLACES: [&str; 2] = ["palomar/config.yaml", "hubble/config.yaml"];

/// Values by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    file: BTreeMap<String, Value>,
    origin: Origin,
}

/// What became of the file.
#[derive(Clone, Debug, Default)]
enum Origin {
    /// There is none.
    #[default]
    Absent,
    /// It is not what it should be.
    Broken(PathBuf, String),
    /// It was read.
    Read(PathBuf),
    /// It was named, and cannot be read.
    Unreadable(PathBuf, String),
}

/// A value in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Switch(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
    List(Vec<Scalar>),
    Other(serde::de::IgnoredAny),
}

/// An element of a list in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Switch(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
}

impl Config {
    /// Reads the file: the one that was named, else `$PALOMAR_CONFIG`, else the user's. One that
    /// cannot be used is empty; [`log`](Self::log) says why.
    pub(crate) fn load(named: Option<&str>) -> Self {
        let named = named
            .map(PathBuf::from)
            .or_else(|| environment("config").map(PathBuf::from));
        let Some(path) = named.or_else(usual_file) else {
            return Self::default();
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                return Self {
                    file: BTreeMap::new(),
                    origin: Origin::Unreadable(path, error.to_string()),
                };
            }
        };
        match serde_saphyr::from_str::<BTreeMap<String, Value>>(&text) {
            Ok(values) => {
                // Names count in any case; of two that differ only in case, the first in order.
                let mut file = BTreeMap::new();
                for (name, value) in values {
                    file.entry(name.to_lowercase()).or_insert(value);
                }
                Self {
                    file,
                    origin: Origin::Read(path),
                }
            }
            Err(error) => Self {
                file: BTreeMap::new(),
                // Its other lines show the text around the place.
                origin: Origin::Broken(
                    path,
                    error
                        .to_string()
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                ),
            },
        }
    }

    /// Whether debug messages are configured.
    pub(crate) fn wants_debug(&self) -> bool {
        self.text("debug")
            .is_some_and(|text| value::switch(&text) == Ok(true))
    }

    /// Logs which file was used, or why none was. Apart from [`load`](Self::load), since what to log
    /// is itself configured.
    pub(crate) fn log(&self) {
        match &self.origin {
            Origin::Absent => {}
            Origin::Broken(path, error) => {
                warn!(file = %path.display(), error, "config file ignored");
            }
            Origin::Read(path) => debug!(configFile = %path.display(), "Using config file"),
            Origin::Unreadable(path, error) => {
                debug!(file = %path.display(), error, "no config file");
            }
        }
    }

    /// A value as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        environment(name).or_else(|| match self.file.get(name)? {
            Value::Switch(value) => Some(value.to_string()),
            Value::Whole(value) => Some(value.to_string()),
            Value::Fraction(value) => Some(value.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::List(_) | Value::Other(_) => None,
        })
    }

    /// A value as a list. In a text, blanks part the elements.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let split = |text: String| text.split_whitespace().map(str::to_owned).collect();
        if let Some(text) = environment(name) {
            return split(text);
        }
        match self.file.get(name) {
            Some(Value::List(list)) => list.iter().map(Scalar::text).collect(),
            _ => self.text(name).map(split).unwrap_or_default(),
        }
    }
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Switch(value) => value.to_string(),
            Self::Whole(value) => value.to_string(),
            Self::Fraction(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
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

fn usual_file() -> Option<PathBuf> {
    let directory = env::var_os("XDG_CONFIG_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".config")))?;
    PLACES
        .iter()
        .map(|place| directory.join(place))
        .find(|path| path.exists())
}

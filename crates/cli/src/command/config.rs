//! `palomar config`: what is configured, and changes to the file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tracing::level_filters::LevelFilter;

use crate::cli::Globals;
use crate::config::{
    self, Config, Value, duration_text,
    file::{self, FileError, Values},
    keys::{self, KEYS, Key, Kind},
    yaml,
};
use crate::flags::{ValueError, value};
use crate::logging;
use crate::settings::{ServerArgs, Settings};

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    /// Print one setting.
    Get,
    /// Go back to what holds by itself.
    Reset,
    /// Change one setting.
    Set,
    /// Print all settings.
    View,
}

/// Runs one of the commands with the words that follow its name.
pub(crate) fn run(
    verb: Verb,
    globals: Globals<ServerArgs>,
    words: &[String],
) -> anyhow::Result<()> {
    let config = Config::load(globals.config_file.as_deref());
    logging::start(globals.debug || config.wants_debug(), LevelFilter::WARN);
    // One that is about to be made need not be there.
    if config.path().is_none_or(Path::exists) {
        config.log();
    }
    let settings = Configured { globals, config };
    match (verb, words) {
        (Verb::View, _) | (Verb::Get, []) => super::print(&yaml(&Value::Map(settings.all()))),
        (Verb::Get, [name]) => super::print(&yaml(&settings.one(name)?)),
        (Verb::Get, _) => bail!(
            "invalid arguments: get requires exactly 0 or 1 argument: got '{}'",
            words.join(" ")
        ),
        (Verb::Set, [name]) | (Verb::Reset, [name]) => settings.set(verb, name, ""),
        (Verb::Set, [name, value]) => settings.set(verb, name, value),
        (Verb::Set, _) => bail!(
            "invalid arguments: set requires exactly 1 or 2 argument(s): got '{}'",
            words.join(" ")
        ),
        (Verb::Reset, []) => settings.change(|values| {
            values.retain(|name, _| Key::find(name).is_none());
        }),
        (Verb::Reset, _) => bail!(
            // As Hubble's client spells it.
            "invalid arguments: resset requires exactly 0 or 1 argument: got '{}'",
            words.join(" ")
        ),
    }
}

/// A name that is no setting.
#[derive(Debug, thiserror::Error)]
#[error("unknown key: {name}")]
pub(crate) struct UnknownKey {
    /// The name as typed.
    pub(crate) name: String,
}

/// What was typed and what is configured.
struct Configured {
    globals: Globals<ServerArgs>,
    config: Config,
}

impl Configured {
    /// All settings that we know, and what else is in the file.
    fn all(&self) -> BTreeMap<String, Value> {
        let mut all = self.config.values().clone();
        for key in &KEYS {
            all.insert(key.name.to_owned(), self.found(key));
        }
        all
    }

    /// One setting as what it is: whatever the file has for a switch, it is true or false.
    fn one(&self, name: &str) -> anyhow::Result<Value> {
        let key = self.known(name)?;
        let found = self.found(key);
        Ok(match key.kind {
            Kind::Duration => Value::Text(duration_text(found.duration_ns())),
            Kind::List => Value::List(found.list().into_iter().map(Value::Text).collect()),
            Kind::Port => found,
            Kind::Switch => Value::Switch(found.switch()),
            Kind::Text => Value::Text(found.text().unwrap_or_default()),
        })
    }

    /// A setting as it was found: on the line, in the environment, in the file, or nowhere.
    fn found(&self, key: &Key) -> Value {
        self.typed(key)
            .or_else(|| self.config.find(key.name))
            .unwrap_or_else(|| self.default_of(key))
    }

    fn typed(&self, key: &Key) -> Option<Value> {
        match key.name {
            keys::CONFIG => self.globals.config_file.clone().map(Value::Text),
            "debug" => self.globals.debug.then_some(Value::Switch(true)),
            name => {
                let typed = self.globals.command.typed(name)?;
                Some(match key.kind {
                    Kind::Switch => Value::Switch(typed.switch()),
                    Kind::Duration => Value::Text(duration_text(typed.duration_ns())),
                    Kind::List | Kind::Port | Kind::Text => typed,
                })
            }
        }
    }

    fn default_of(&self, key: &Key) -> Value {
        match key.kind {
            Kind::List => Value::List(Vec::new()),
            Kind::Switch => Value::Switch(false),
            Kind::Duration | Kind::Port | Kind::Text => Value::Text(match key.name {
                keys::CONFIG => self
                    .config
                    .path()
                    .map(|path| path.display().to_string())
                    .unwrap_or_default(),
                "server" => Settings::new(ServerArgs::default(), Config::default())
                    .map(|settings| settings.address())
                    .unwrap_or_default(),
                _ => key.default.to_owned(),
            }),
        }
    }

    /// The setting of this name.
    fn known(&self, name: &str) -> anyhow::Result<&'static Key> {
        match Key::find(name) {
            Some(key) => Ok(key),
            None if is_leaf(self.config.values(), name) => {
                bail!("key={name} not bound to a flag")
            }
            None => Err(UnknownKey {
                name: name.to_owned(),
            }
            .into()),
        }
    }

    /// Puts a value into the file; an empty one stands for what holds by itself.
    fn set(&self, verb: Verb, name: &str, text: &str) -> anyhow::Result<()> {
        let key = self.known(name)?;
        if key.kind == Kind::Port && verb == Verb::Set {
            // Hubble's client cannot, and these are its words.
            bail!("unhandeld type uint16, please open an issue");
        }
        let value = if text.is_empty() {
            // What server holds by itself depends on what runs here, now and later.
            (!matches!(key.name, "server" | "port-forward-port")).then(|| self.default_of(key))
        } else {
            Some(parsed(key, text)?)
        };
        self.change(|values| {
            match value {
                Some(value) => values.insert(key.name.to_owned(), value),
                None => values.remove(key.name),
            };
        })
    }

    /// Changes the file. It is read again: what it says counts, and not what holds.
    fn change(&self, change: impl FnOnce(&mut Values)) -> anyhow::Result<()> {
        let path = Key::find(keys::CONFIG)
            .and_then(|key| self.found(key).text())
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .context("cannot tell where the config file is: set $HOME, or name it with --config")?;
        let mut values = match file::read(&path) {
            Ok(values) => values,
            Err(FileError::Unreadable { cause, .. })
                if cause.kind() == std::io::ErrorKind::NotFound =>
            {
                Values::new()
            }
            Err(error) => return Err(error.into()),
        };
        change(&mut values);
        Ok(file::write(&path, &values)?)
    }
}

/// Whether a name leads to a value of the file: through maps, with a dot before each further name.
fn is_leaf(values: &Values, name: &str) -> bool {
    values.iter().any(|(key, value)| match value {
        Value::Map(map) => name
            .strip_prefix(key.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|rest| is_leaf(map, rest)),
        _ => key == name,
    })
}

/// A text as a value of a setting.
fn parsed(key: &Key, text: &str) -> anyhow::Result<Value> {
    let wrong = |expected: &str, reason: ValueError| {
        anyhow::anyhow!(
            "cannot assign value={text} for key={}, expected type={expected}: {reason}",
            key.name
        )
    };
    Ok(match key.kind {
        Kind::Switch => Value::Switch(value::switch(text).map_err(|reason| wrong("bool", reason))?),
        Kind::Duration => {
            let ns = config::duration_ns(text).map_err(|reason| wrong("duration", reason))?;
            Value::Text(duration_text(ns))
        }
        Kind::List => {
            let bare = text.strip_prefix('[').unwrap_or(text);
            let bare = bare.strip_suffix(']').unwrap_or(bare);
            let list = value::list(bare).map_err(|reason| wrong("stringSlice", reason))?;
            Value::List(list.into_iter().map(Value::Text).collect())
        }
        Kind::Port | Kind::Text => Value::Text(text.to_owned()),
    })
}

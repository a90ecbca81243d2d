//! The file itself: where it is, what is in it, how it is replaced.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use super::{emit, value::Value};
use crate::program;
use crate::source::reason;

/// Where a file is looked for below the user's configuration directory, first come first served.
/// Hubble's own comes last, so that who has one needs no second.
const PLACES: [&str; 2] = ["palomar/config.yaml", "hubble/config.yaml"];

/// Directories that are made for a file are for its owner and group.
const DIRECTORY_MODE: u32 = 0o750;

/// A new file may come to hold a password.
const FILE_MODE: u32 = 0o600;

/// Values by name, in lower case.
pub(crate) type Values = BTreeMap<String, Value>;

/// The user's file: the first that is there, else the one that would be made.
pub(crate) fn usual() -> Option<PathBuf> {
    let directory = env::var_os("XDG_CONFIG_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".config")))?;
    let there = PLACES
        .iter()
        .map(|place| directory.join(place))
        .find(|path| path.exists());
    Some(there.unwrap_or_else(|| directory.join(program::name()).join("config.yaml")))
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// What is in it is not what it should be; usually a typing mistake.
    #[error("While parsing config: {reason}")]
    Broken {
        /// What is wrong, and where.
        reason: String,
    },
    /// Its directory is not there, and may not be made.
    #[error(
        "configuration directory does not exist and cannot be created: mkdir {}: {}",
        directory.display(),
        reason(cause)
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The end of its name does not tell how to write it.
    #[error("config type could not be determined for {}", path.display())]
    UnknownType {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses to read it.
    #[error("open {}: {}", path.display(), reason(cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The system refuses to replace it.
    #[error("cannot write {}: {}", path.display(), reason(cause))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The end of its name tells of a form that we do not write.
    #[error(
        "cannot write {}: settings are written as YAML or JSON, name it .yaml, .yml or .json",
        path.display()
    )]
    UnsupportedType {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file.
///
/// # Errors
/// It cannot be read, or is not YAML with names and values.
pub(crate) fn read(path: &Path) -> Result<Values, FileError> {
    let text = fs::read_to_string(path).map_err(|cause| FileError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    let broken = |reason: &str| FileError::Broken {
        reason: reason.to_owned(),
    };
    if text.trim().is_empty() {
        return Ok(Values::new());
    }
    let options = serde_saphyr::options! { strict_booleans: true };
    match serde_saphyr::from_str_with_options::<Value>(&text, options) {
        Ok(Value::Map(mut values)) => {
            // Nothing said is nothing configured.
            values.retain(|_, value| *value != Value::Null);
            Ok(values)
        }
        Ok(Value::Null) => Ok(Values::new()),
        Ok(_) => Err(broken(
            "expected names and values, as in server: relay:4245",
        )),
        // Its other lines show the text around the place.
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Err(broken(line.strip_prefix("error: ").unwrap_or(line)))
        }
    }
}

/// Replaces a file, at once: whoever reads it meanwhile reads the old one or the new one. The new
/// one keeps the old one's mode and owner.
///
/// # Errors
/// The name does not tell how to write it, or the system refuses.
pub(crate) fn write(path: &Path, values: &Values) -> Result<(), FileError> {
    let map = Value::Map(values.clone());
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") if values.is_empty() => String::new(),
        Some("yaml" | "yml") => emit::yaml(&map),
        Some("json") => format!("{:#}\n", json(&map)),
        Some(_) => {
            return Err(FileError::UnsupportedType {
                path: path.to_owned(),
            });
        }
        None => {
            return Err(FileError::UnknownType {
                path: path.to_owned(),
            });
        }
    };
    // A link goes on pointing to the file.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|cause| FileError::Directory {
            directory: directory.to_owned(),
            cause,
        })?;
    replace(path, directory, text.as_bytes()).map_err(|cause| FileError::Unwritable {
        path: path.to_owned(),
        cause,
    })
}

fn replace(path: &Path, directory: &Path, text: &[u8]) -> io::Result<()> {
    let old = fs::metadata(path).ok();
    let mode = old.as_ref().map_or(FILE_MODE, |old| old.mode() & 0o7777);
    let beside = directory.join(format!(
        ".{}.{}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&beside)?;
        if let Some(old) = &old {
            // Only root may give files away, and only root edits those of others.
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid())).ok();
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        // It may not even be there.
        fs::remove_file(&beside).ok();
    }
    written
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Switch(value) => (*value).into(),
        Value::Whole(value) => (*value).into(),
        Value::Fraction(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(list) => list.iter().map(json).collect(),
        Value::Map(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

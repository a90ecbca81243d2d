//! What to group by: names of fields in, their values out.

use flow_api::near;
use flow_filter::FieldPath;

use super::{
    Observed,
    ends::{END_FIELDS, EndField, Side},
    names::{NAMED_FIELDS, NamedField},
    path::{Path, PathError},
};

/// A value may be a URL of any length. What is longer than this is cut, so that memory is bounded by
/// the number of groups.
const MOST_BYTES: usize = 512;

/// Fields that tell groups apart at once: more make no table that anybody could read.
const MOST_FIELDS: usize = 8;

/// One thing that flows may differ in.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    name: String,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    End(Side, &'static EndField),
    Named(&'static NamedField),
    Path(Path),
}

/// A name that stands for no field.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("no field \"{given}\"{hint}")]
pub(crate) struct UnknownField {
    given: String,
    /// Names that may have been meant, ready to print.
    hint: String,
}

impl UnknownField {
    fn new(given: &str, hint: impl Into<String>) -> Self {
        Self {
            given: given.to_owned(),
            hint: hint.into(),
        }
    }
}

impl Field {
    /// The field of this name or path.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn find(text: &str) -> Result<Self, UnknownField> {
        if let Some(field) = Self::by_name(text) {
            return Ok(field);
        }
        match Path::find(text).or_else(|error| by_condition(text).ok_or(error)) {
            Ok(path) => Ok(Self {
                name: path.name.clone(),
                origin: Origin::Path(path),
            }),
            Err(error) => Err(UnknownField::new(text, hint(text, &error))),
        }
    }

    fn by_name(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase().replace('_', "-");
        let named = NAMED_FIELDS
            .iter()
            .find(|field| field.name == text || (field.alias == text && !text.is_empty()));
        if let Some(field) = named {
            return Some(Self {
                name: field.name.to_owned(),
                origin: Origin::Named(field),
            });
        }
        let (side, field) = Side::NAMES.iter().find_map(|(name, side)| {
            let rest = text.strip_prefix(name)?;
            let rest = match rest.strip_prefix(['.', '-']) {
                Some(field) if !field.is_empty() => field,
                None if rest.is_empty() => rest,
                _ => return None,
            };
            let field = END_FIELDS
                .iter()
                .find(|field| field.name == rest || (field.alias == rest && !rest.is_empty()))?;
            Some((*side, field))
        })?;
        Some(Self {
            name: text.replacen('-', ".", 1),
            origin: Origin::End(side, field),
        })
    }

    /// How it is called, in JSON and in headings.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Adds the paths that a field mask needs for it.
    fn add_mask(&self, paths: &mut Vec<String>) {
        match &self.origin {
            Origin::End(side, field) => {
                for end in side.ends() {
                    paths.extend(field.mask.iter().map(|path| path.replace("{}", end)));
                }
                if side.ends().len() > 1 {
                    paths.push("is_reply".to_owned());
                }
            }
            Origin::Named(field) => paths.extend(field.mask.iter().map(|&path| path.to_owned())),
            Origin::Path(path) => paths.extend(path.mask().map(str::to_owned)),
        }
    }

    /// Appends the value of a flow; nothing where it has none.
    pub(crate) fn take(&self, observed: &Observed<'_>, out: &mut String) {
        let start = out.len();
        match &self.origin {
            Origin::End(side, field) => field.take(observed, *side, out),
            Origin::Named(field) => (field.take)(observed, out),
            Origin::Path(path) => path.take(observed, out),
        }
        if out.len() - start > MOST_BYTES {
            let mut end = start + MOST_BYTES;
            while !out.is_char_boundary(end) {
                end -= 1;
            }
            out.truncate(end);
            out.push('…');
        }
    }
}

/// The fields to group by.
#[derive(Clone, Debug)]
pub(crate) struct Fields(Vec<Field>);

impl Fields {
    /// Fields by their names, with commas between.
    ///
    /// # Errors
    /// One of them does not exist, or there are too many.
    pub(crate) fn parse(list: &str) -> Result<Self, UnknownField> {
        let fields: Vec<Field> = list
            .split(',')
            .map(|name| Field::find(name.trim()))
            .collect::<Result<_, _>>()?;
        match fields.get(MOST_FIELDS) {
            Some(field) => Err(UnknownField::new(
                &field.name,
                format!(" after {MOST_FIELDS} others: that many can be told apart at once"),
            )),
            None => Ok(Self(fields)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Field> + Clone {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The position of the field of this name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        let meant = Field::find(name).ok()?;
        self.0.iter().position(|field| field.name == meant.name)
    }

    /// What a server has to send so that they can be told, with what is counted.
    pub(crate) fn mask(&self) -> Vec<String> {
        let mut paths = vec!["time".to_owned(), "extensions".to_owned()];
        for field in &self.0 {
            field.add_mask(&mut paths);
        }
        paths.sort();
        paths.dedup();
        paths
    }
}

/// All names that need no knowledge of the contract.
pub(crate) fn all_names() -> impl Iterator<Item = String> {
    let ends = ["source", "destination", "client", "server"];
    let ends = ends.into_iter().flat_map(|end| {
        END_FIELDS.iter().map(move |field| match field.name {
            "" => end.to_owned(),
            name => format!("{end}.{name}"),
        })
    });
    ends.chain(NAMED_FIELDS.iter().map(|field| field.name.to_owned()))
}

/// The path that a condition means by this name: `tcp.flags.SYN` is `l4.TCP.flags.SYN`.
fn by_condition(text: &str) -> Option<Path> {
    match FieldPath::parse(text).ok()?.mask().as_slice() {
        [path] => Path::find(path).ok(),
        _ => None,
    }
}

fn hint(text: &str, error: &PathError) -> String {
    let (before, names) = match error {
        PathError::NoValue { path, names } => {
            return format!(
                ": it has fields of its own, such as {path}.{}",
                names.first().map_or("", String::as_str)
            );
        }
        PathError::NoField { before, names } => (before, names),
    };
    let paths = names.iter().map(|name| format!("{before}{name}"));
    let known: Vec<String> = all_names().chain(paths).collect();
    match near::nearest(text, known.iter().map(String::as_str)) {
        Some(name) => format!(", did you mean {name}?"),
        None => ": expected one as source.pod, drop-reason or http.status, or the path of any field of a \
              flow, as l4.TCP.flags.SYN"
            .to_owned(),
    }
}

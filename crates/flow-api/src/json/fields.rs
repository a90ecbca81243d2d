//! Which fields of a message are to be read.

use super::{
    Json,
    shape::{Kind, Shape},
};

/// A choice of fields, also within messages.
#[derive(Clone, Debug)]
pub struct Fields {
    /// One bit for each field.
    chosen: u64,
    /// Of chosen messages those that are not wanted whole.
    parts: Vec<(usize, Fields)>,
}

static ALL: Fields = Fields::all();

/// A path that leads to no field of the message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no field {0:?}")]
pub struct UnknownField(pub String);

impl Fields {
    /// Every field.
    pub const fn all() -> Self {
        Self {
            chosen: u64::MAX,
            parts: Vec::new(),
        }
    }

    /// The fields at these paths, as in `flow.source.pod_name`: names as in the `.proto`, joined by
    /// dots. A message is there also if only a part of it is chosen.
    ///
    /// # Errors
    /// A path leads nowhere.
    pub fn of<'a, T: Json>(paths: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownField> {
        let mut fields = Self::none();
        for path in paths {
            fields
                .choose(T::SHAPE, path)
                .ok_or_else(|| UnknownField(path.to_owned()))?;
        }
        Ok(fields)
    }

    const fn none() -> Self {
        Self {
            chosen: 0,
            parts: Vec::new(),
        }
    }

    fn choose(&mut self, shape: &'static Shape, path: &str) -> Option<()> {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let field = shape.position(name)?;
        let is_whole = self.has(field) && !self.parts.iter().any(|(part, _)| *part == field);
        self.chosen |= 1 << field;
        let Some(rest) = rest else {
            self.parts.retain(|(part, _)| *part != field);
            return Some(());
        };
        let Kind::Message(inner) = shape.0[field].kind else {
            return None;
        };
        if is_whole {
            return Self::none().choose(inner(), rest);
        }
        let part = match self.parts.iter().position(|(part, _)| *part == field) {
            Some(part) => part,
            None => {
                self.parts.push((field, Self::none()));
                self.parts.len() - 1
            }
        };
        self.parts[part].1.choose(inner(), rest)
    }

    /// Whether a field is to be read.
    pub(super) fn has(&self, field: usize) -> bool {
        self.chosen >> field & 1 == 1
    }

    /// Which fields of the message in this field are.
    pub(super) fn within(&self, field: usize) -> &Fields {
        let part = self.parts.iter().find(|(part, _)| *part == field);
        part.map_or(&ALL, |(_, fields)| fields)
    }
}

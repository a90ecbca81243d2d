//! Values of a gob stream.
//!
//! A value is walked to its end once, when its message comes in. What iterates over it afterwards
//! can therefore not run into damage.

use super::{
    GobError,
    number::Reader,
    types::{self, Field, Type, TypeId, Types},
};

/// How deep values may be nested; an agent's records take 5.
const MAX_DEPTH: usize = 16;

/// One value. Byte strings are borrowed from the message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A truth value.
    Bool(bool),
    /// A signed number of any size.
    Int(i64),
    /// An unsigned number of any size.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// A byte string, or a value whose type writes itself.
    Bytes(&'a [u8]),
    /// A text; usually UTF-8.
    Text(&'a [u8]),
    /// A slice or array.
    List(List<'a>),
    /// A map.
    Map(Map<'a>),
    /// A struct.
    Struct(Struct<'a>),
    /// Anything else: complex numbers and interfaces. Stepped over.
    Other,
}

/// A slice or array.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    element: TypeId,
    count: usize,
    body: Body<'a>,
}

/// A map.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    key: TypeId,
    value: TypeId,
    count: usize,
    body: Body<'a>,
}

/// A struct.
#[derive(Clone, Copy, Debug)]
pub struct Struct<'a> {
    fields: &'a [Field],
    body: Body<'a>,
}

/// The bytes of a value that has others in it.
#[derive(Clone, Copy, Debug)]
struct Body<'a> {
    types: &'a Types,
    bytes: &'a [u8],
    depth: usize,
}

impl<'a> List<'a> {
    /// The elements.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut reader = Reader::new(self.body.bytes);
        (0..self.count).map_while(move |_| self.body.inner(self.element, &mut reader))
    }
}

impl<'a> Map<'a> {
    /// Keys and values, in the order in which they came.
    pub fn iter(self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        let mut reader = Reader::new(self.body.bytes);
        (0..self.count).map_while(move |_| {
            let key = self.body.inner(self.key, &mut reader)?;
            Some((key, self.body.inner(self.value, &mut reader)?))
        })
    }
}

impl<'a> Struct<'a> {
    /// The fields that are there, by name. Those that are zero or empty are not sent.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let mut reader = Reader::new(self.body.bytes);
        let mut next = 0;
        std::iter::from_fn(move || {
            let field = next_field(self.fields, &mut next, &mut reader).ok()??;
            let value = self.body.inner(field.kind, &mut reader)?;
            Some((&*field.name, value))
        })
    }
}

impl<'a> Body<'a> {
    fn inner(self, id: TypeId, reader: &mut Reader<'a>) -> Option<Value<'a>> {
        // The walk over the whole value went well, so this part of it does, too.
        read(self.types, id, reader, self.depth + 1).ok()
    }
}

/// Reads a value of the given type, and walks everything in it.
pub(super) fn read<'a>(
    types: &'a Types,
    id: TypeId,
    reader: &mut Reader<'a>,
    depth: usize,
) -> Result<Value<'a>, GobError> {
    if depth > MAX_DEPTH {
        return Err(GobError::TooDeep { limit: MAX_DEPTH });
    }
    Ok(match types.find(id)? {
        Type::Bool => Value::Bool(reader.uint()? != 0),
        Type::Int => Value::Int(reader.int()?),
        Type::Uint => Value::Uint(reader.uint()?),
        // Bytes in reverse, since the low ones of a short fraction are zero.
        Type::Float => Value::Float(f64::from_bits(reader.uint()?.swap_bytes())),
        Type::Bytes | Type::Opaque => Value::Bytes(reader.counted_bytes()?),
        Type::Text => Value::Text(reader.counted_bytes()?),
        Type::Complex => {
            reader.uint()?;
            reader.uint()?;
            Value::Other
        }
        Type::Interface => {
            interface(reader)?;
            Value::Other
        }
        Type::List { element } => {
            let count = reader.count()?;
            let body = walk(types, reader, depth, |reader| {
                (0..count).try_for_each(|_| read(types, *element, reader, depth + 1).map(drop))
            })?;
            Value::List(List {
                element: *element,
                count,
                body,
            })
        }
        Type::Map { key, value } => {
            let count = reader.count()?;
            let body = walk(types, reader, depth, |reader| {
                (0..count).try_for_each(|_| {
                    read(types, *key, reader, depth + 1)?;
                    read(types, *value, reader, depth + 1).map(drop)
                })
            })?;
            Value::Map(Map {
                key: *key,
                value: *value,
                count,
                body,
            })
        }
        Type::Struct(fields) => {
            let body = walk(types, reader, depth, |reader| {
                let mut next = 0;
                while let Some(field) = next_field(fields, &mut next, reader)? {
                    read(types, field.kind, reader, depth + 1)?;
                }
                Ok(())
            })?;
            Value::Struct(Struct { fields, body })
        }
    })
}

/// Steps over what `steps` takes, and returns it.
fn walk<'a>(
    types: &'a Types,
    reader: &mut Reader<'a>,
    depth: usize,
    steps: impl FnOnce(&mut Reader<'a>) -> Result<(), GobError>,
) -> Result<Body<'a>, GobError> {
    let before = reader.rest;
    steps(reader)?;
    let bytes = &before[..before.len() - reader.rest.len()];
    Ok(Body {
        types,
        bytes,
        depth,
    })
}

/// The field that comes next, if there is one. `next` counts those that are behind.
fn next_field<'a>(
    fields: &'a [Field],
    next: &mut usize,
    reader: &mut Reader<'_>,
) -> Result<Option<&'a Field>, GobError> {
    let distance = reader.uint()?;
    if distance == 0 {
        return Ok(None);
    }
    *next = usize::try_from(distance)
        .ok()
        .and_then(|distance| next.checked_add(distance))
        .ok_or(NO_SUCH_FIELD)?;
    fields.get(*next - 1).map(Some).ok_or(NO_SUCH_FIELD)
}

const NO_SUCH_FIELD: GobError = GobError::Malformed {
    what: "a field that its struct does not have",
};

/// Steps over an interface: the name of the type in it, definitions where it needs any, the type,
/// and the value with its length. Types that are defined in here are not remembered.
fn interface(reader: &mut Reader<'_>) -> Result<(), GobError> {
    if reader.counted_bytes()?.is_empty() {
        return Ok(());
    }
    while reader.int()? < 0 {
        types::definition(reader)?;
        // The length of what follows.
        reader.uint()?;
    }
    reader.counted_bytes().map(drop)
}

//! Types of a gob stream: the ten that every stream knows, and those that it defined.

use std::collections::HashMap;

use super::{GobError, number::Reader};

/// Definitions that one stream may send, in bytes. The largest that an agent sends takes 1.5 KiB;
/// what is defined stays for as long as the connection.
const MAX_DEFINED_BYTES: usize = 64 * 1024;

/// The number of a type within its stream.
pub(super) type TypeId = i64;

/// How values of a type are written.
#[derive(Debug)]
pub(super) enum Type {
    Bool,
    Int,
    Uint,
    Float,
    Bytes,
    Text,
    Complex,
    Interface,
    /// Arrays and slices: a count, then the elements.
    List {
        element: TypeId,
    },
    Map {
        key: TypeId,
        value: TypeId,
    },
    Struct(Box<[Field]>),
    /// A type that writes itself: a byte string that only it can read.
    Opaque,
}

/// A field of a struct.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) kind: TypeId,
}

/// The types that a stream has defined so far.
#[derive(Debug, Default)]
pub(super) struct Types {
    defined: HashMap<TypeId, Type>,
    defined_bytes: usize,
}

impl Types {
    pub(super) fn find(&self, id: TypeId) -> Result<&Type, GobError> {
        Ok(match id {
            1 => &Type::Bool,
            2 => &Type::Int,
            3 => &Type::Uint,
            4 => &Type::Float,
            5 => &Type::Bytes,
            6 => &Type::Text,
            7 => &Type::Complex,
            8 => &Type::Interface,
            _ => self.defined.get(&id).ok_or(GobError::UnknownType { id })?,
        })
    }

    /// Takes in the definition that makes up the rest of a message.
    pub(super) fn define(&mut self, id: TypeId, reader: &mut Reader<'_>) -> Result<(), GobError> {
        self.defined_bytes += reader.rest.len();
        if self.defined_bytes > MAX_DEFINED_BYTES {
            return Err(GobError::TooManyTypes {
                limit: MAX_DEFINED_BYTES,
            });
        }
        let definition = definition(reader)?;
        if self.defined.insert(id, definition).is_some() {
            return Err(GobError::Malformed {
                what: "a type that is defined twice",
            });
        }
        Ok(())
    }
}

/// Reads one definition, a struct that has exactly one of these fields.
pub(super) fn definition(reader: &mut Reader<'_>) -> Result<Type, GobError> {
    let mut found = None;
    fields(reader, |number, reader| {
        found = Some(match number {
            // An array's length comes again with each value.
            1 | 2 => Type::List {
                element: type_ids(reader)?[0],
            },
            3 => Type::Struct(struct_fields(reader)?),
            4 => {
                let [key, value] = type_ids(reader)?;
                Type::Map { key, value }
            }
            5..=7 => {
                type_ids(reader)?;
                Type::Opaque
            }
            _ => return Err(UNKNOWN_FIELD),
        });
        Ok(())
    })?;
    found.ok_or(GobError::Malformed {
        what: "an empty type definition",
    })
}

const UNKNOWN_FIELD: GobError = GobError::Malformed {
    what: "an unknown field in a type definition",
};

/// The two numbers that follow the name in the definition of a list (element, length), of a map
/// (key, value) or of an opaque type (neither).
fn type_ids(reader: &mut Reader<'_>) -> Result<[TypeId; 2], GobError> {
    let mut ids = [0; 2];
    fields(reader, |number, reader| {
        match number {
            1 => name(reader)?,
            2 => ids[0] = reader.int()?,
            3 => ids[1] = reader.int()?,
            _ => return Err(UNKNOWN_FIELD),
        }
        Ok(())
    })?;
    Ok(ids)
}

fn struct_fields(reader: &mut Reader<'_>) -> Result<Box<[Field]>, GobError> {
    let mut all = Vec::new();
    fields(reader, |number, reader| {
        match number {
            1 => name(reader)?,
            2 => {
                for _ in 0..reader.count()? {
                    all.push(struct_field(reader)?);
                }
            }
            _ => return Err(UNKNOWN_FIELD),
        }
        Ok(())
    })?;
    Ok(all.into())
}

fn struct_field(reader: &mut Reader<'_>) -> Result<Field, GobError> {
    let mut field = Field {
        name: Box::default(),
        kind: 0,
    };
    fields(reader, |number, reader| {
        match number {
            1 => field.name = String::from_utf8_lossy(reader.counted_bytes()?).into(),
            2 => field.kind = reader.int()?,
            _ => return Err(UNKNOWN_FIELD),
        }
        Ok(())
    })?;
    Ok(field)
}

/// What all definitions begin with: the type's name and number, which nobody here asks for.
fn name(reader: &mut Reader<'_>) -> Result<(), GobError> {
    fields(reader, |number, reader| {
        match number {
            1 => drop(reader.counted_bytes()?),
            2 => drop(reader.int()?),
            _ => return Err(UNKNOWN_FIELD),
        }
        Ok(())
    })
}

/// Walks the fields of a struct: each begins with the distance from the one before; 0 ends it.
fn fields<'a>(
    reader: &mut Reader<'a>,
    mut field: impl FnMut(u64, &mut Reader<'a>) -> Result<(), GobError>,
) -> Result<(), GobError> {
    let mut number = 0u64;
    loop {
        match reader.uint()? {
            0 => return Ok(()),
            distance => number = number.saturating_add(distance),
        }
        field(number, reader)?;
    }
}

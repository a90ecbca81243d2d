//! The reader: a stream of JSON tokens (serde_json) in, fields of messages out, without a tree of
//! values in between. What it writes itself is read faster in [`canonical`](super::canonical).
//!
//! [`Reader`] holds what is the same for the whole text: the options, where in the message we are,
//! and what went wrong first. Nesting is bounded by serde_json, which refuses more than 128 levels.

use std::{fmt, marker::PhantomData};

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected,
    Visitor,
};

use super::{
    canonical::Walker,
    enums::{Enumeration, Named},
    error::{JsonError, Problem, Step},
    fields::Fields,
    shape::Shape,
    write::ToJson,
};

/// What the reader lets pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// Skip fields and names of enum values that this contract does not have, as those of a newer
    /// release, instead of refusing the text.
    pub ignore_unknown: bool,
}

/// The state of reading one text.
pub struct Reader {
    options: ReadOptions,
    /// The way to the value being read. After an error it still leads there.
    path: Vec<Step>,
    /// What our own rules refused, if it was not a mismatch of types.
    problem: Option<Problem>,
}

/// What stood in the place of a value.
pub enum Found<T> {
    /// A value.
    Value(T),
    /// `null`, which means "not set".
    Null,
    /// A name of a newer contract, to be skipped.
    Unknown,
}

/// A type that can be read from one JSON value.
pub trait FromJson: ToJson + Sized {
    /// Reads the value.
    fn read<'de, D: Deserializer<'de>>(
        value: D,
        reader: &mut Reader,
    ) -> Result<Found<Self>, D::Error>;

    /// Reads the value in canonical form; of a message, these fields. `None` for another form, and
    /// for types that have no such reader.
    fn read_canonical(walker: &mut Walker<'_>, fields: &Fields) -> Option<Self>;
}

/// The fields of a message. Implemented by generated code.
pub trait ReadFields: Default {
    /// Its fields, in the order of declaration.
    const SHAPE: &'static Shape;
    /// The position in [`Self::SHAPE`] of a name, in either spelling.
    fn field(name: &str) -> Option<usize>;
    /// Reads the value of the field at a position.
    fn read_field<E: Entry>(&mut self, field: usize, entry: E) -> Result<(), E::Error>;
}

/// A key that was read and whose value comes next.
pub trait Entry: Sized {
    /// Why the value is refused.
    type Error;

    /// A field without presence: `null` leaves the default.
    fn singular<T: FromJson>(self, slot: &mut T) -> Result<(), Self::Error>;

    /// A field with presence.
    fn optional<T: FromJson>(self, slot: &mut Option<T>) -> Result<(), Self::Error>;

    /// An enum.
    fn enumeration<E: Enumeration>(self, slot: &mut i32) -> Result<(), Self::Error>;

    /// A list.
    fn repeated<T: FromJson>(self, slot: &mut Vec<T>) -> Result<(), Self::Error>;

    /// A list of enums.
    fn enumerations<E: Enumeration>(self, slot: &mut Vec<i32>) -> Result<(), Self::Error>;

    /// A member of a oneof, of which only one may be set.
    fn variant<T: FromJson, O>(
        self,
        slot: &mut Option<O>,
        oneof: &'static str,
        variant: impl FnOnce(T) -> O,
    ) -> Result<(), Self::Error>;

    /// A position that no field has; the generated look-up never gives one.
    fn skip(self) -> Result<(), Self::Error>;
}

impl Reader {
    pub(super) fn new(options: ReadOptions) -> Self {
        Self {
            options,
            path: Vec::new(),
            problem: None,
        }
    }

    pub(super) fn options(&self) -> ReadOptions {
        self.options
    }

    pub(super) fn read_root<T: ReadFields>(mut self, text: &str) -> Result<T, JsonError> {
        let mut json = serde_json::Deserializer::from_str(text);
        let message = match read_message(&mut json, &mut self) {
            Ok(Found::Value(message)) => Ok(message),
            Ok(Found::Null | Found::Unknown) => Err(serde_json::Error::invalid_type(
                Unexpected::Unit,
                &"an object",
            )),
            Err(error) => Err(error),
        };
        message
            .and_then(|message| json.end().map(|()| message))
            .map_err(|error| JsonError::new(&error, &self.path, self.problem))
    }

    /// Refuses the text for a reason of our own. The text of the returned error is never shown.
    pub(super) fn refuse<E: serde::de::Error>(&mut self, problem: Problem) -> E {
        self.problem = Some(problem);
        E::custom("refused")
    }

    /// Reads a value one step further down.
    fn at<T, E>(
        &mut self,
        step: Step,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.path.push(step);
        let value = read(self)?;
        self.path.pop();
        Ok(value)
    }
}

/// Reads a message, or `null`.
pub(super) fn read_message<'de, T: ReadFields, D: Deserializer<'de>>(
    value: D,
    reader: &mut Reader,
) -> Result<Found<T>, D::Error> {
    value.deserialize_any(MessageVisitor {
        reader,
        message: PhantomData,
    })
}

struct MessageVisitor<'a, T> {
    reader: &'a mut Reader,
    message: PhantomData<T>,
}

impl<'de, T: ReadFields> Visitor<'de> for MessageVisitor<'_, T> {
    type Value = Found<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Found<T>, E> {
        Ok(Found::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<T>, A::Error> {
        let reader = self.reader;
        let mut message = T::default();
        // One bit for each field; the generator sees to it that they fit.
        let mut seen = 0_u64;
        while let Some(key) = map.next_key_seed(FieldSeed::<T>(PhantomData))? {
            let field = match key {
                Key::Known(field) => field,
                Key::Unknown(_) if reader.options.ignore_unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                Key::Unknown(name) => return Err(reader.refuse(Problem::UnknownField { name })),
            };
            reader.at(Step::Field(T::SHAPE.name(field)), |reader| {
                let bit = 1 << field;
                if seen & bit != 0 {
                    return Err(reader.refuse(Problem::DuplicateField));
                }
                seen |= bit;
                let map = &mut map;
                let text = PhantomData;
                message.read_field(field, MapEntry { map, reader, text })
            })?;
        }
        Ok(Found::Value(message))
    }
}

/// A key of an object: the position of a field, or a name that is none.
enum Key {
    Known(usize),
    Unknown(String),
}

struct FieldSeed<T>(PhantomData<T>);

impl<'de, T: ReadFields> DeserializeSeed<'de> for FieldSeed<T> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Key, D::Error> {
        key.deserialize_str(self)
    }
}

impl<T: ReadFields> Visitor<'_> for FieldSeed<T> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(T::field(name).map_or_else(|| Key::Unknown(name.to_owned()), Key::Known))
    }
}

/// The entry of an object that is read token by token.
struct MapEntry<'a, 'de, A> {
    map: &'a mut A,
    reader: &'a mut Reader,
    text: PhantomData<&'de str>,
}

impl<'de, A: MapAccess<'de>> Entry for MapEntry<'_, 'de, A> {
    type Error = A::Error;

    fn singular<T: FromJson>(self, slot: &mut T) -> Result<(), A::Error> {
        if let Found::Value(value) = self.value()? {
            *slot = value;
        }
        Ok(())
    }

    fn optional<T: FromJson>(self, slot: &mut Option<T>) -> Result<(), A::Error> {
        if let Found::Value(value) = self.value()? {
            *slot = Some(value);
        }
        Ok(())
    }

    fn enumeration<E: Enumeration>(self, slot: &mut i32) -> Result<(), A::Error> {
        if let Found::Value(value) = self.value::<Named<E>>()? {
            *slot = value.number;
        }
        Ok(())
    }

    fn repeated<T: FromJson>(self, slot: &mut Vec<T>) -> Result<(), A::Error> {
        self.list(|value| slot.push(value))
    }

    fn enumerations<E: Enumeration>(self, slot: &mut Vec<i32>) -> Result<(), A::Error> {
        self.list(|value: Named<E>| slot.push(value.number))
    }

    fn variant<T: FromJson, O>(
        self,
        slot: &mut Option<O>,
        oneof: &'static str,
        variant: impl FnOnce(T) -> O,
    ) -> Result<(), A::Error> {
        let Self { map, reader, text } = self;
        let found = MapEntry {
            map,
            reader: &mut *reader,
            text,
        }
        .value()?;
        if let Found::Value(value) = found {
            if slot.is_some() {
                return Err(reader.refuse(Problem::OneofSetTwice { oneof }));
            }
            *slot = Some(variant(value));
        }
        Ok(())
    }

    fn skip(self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(|_| ())
    }
}

impl<'de, A: MapAccess<'de>> MapEntry<'_, 'de, A> {
    fn value<T: FromJson>(self) -> Result<Found<T>, A::Error> {
        self.map.next_value_seed(ValueSeed {
            reader: self.reader,
            value: PhantomData,
        })
    }

    fn list<T: FromJson>(self, push: impl FnMut(T)) -> Result<(), A::Error> {
        self.map.next_value_seed(ListVisitor {
            reader: self.reader,
            push,
            value: PhantomData,
        })
    }
}

struct ValueSeed<'a, T> {
    reader: &'a mut Reader,
    value: PhantomData<T>,
}

impl<'de, T: FromJson> DeserializeSeed<'de> for ValueSeed<'_, T> {
    type Value = Found<T>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Found<T>, D::Error> {
        T::read(value, self.reader)
    }
}

struct ListVisitor<'a, T, F> {
    reader: &'a mut Reader,
    push: F,
    value: PhantomData<T>,
}

impl<'de, T: FromJson, F: FnMut(T)> DeserializeSeed<'de> for ListVisitor<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, list: D) -> Result<(), D::Error> {
        list.deserialize_any(self)
    }
}

impl<'de, T: FromJson, F: FnMut(T)> Visitor<'de> for ListVisitor<'_, T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        for index in 0.. {
            let next = self.reader.at(Step::Index(index), |reader| {
                let found = list.next_element_seed(ValueSeed {
                    reader,
                    value: PhantomData,
                })?;
                // Only a whole field can be "not set".
                if matches!(found, Some(Found::Null)) {
                    return Err(A::Error::invalid_type(Unexpected::Unit, &"a value"));
                }
                Ok(found)
            })?;
            match next {
                Some(Found::Value(value)) => (self.push)(value),
                Some(Found::Null | Found::Unknown) => {}
                None => break,
            }
        }
        Ok(())
    }
}

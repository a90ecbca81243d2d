//! `Any`: a message of any type, with the type's name beside it.
//!
//! Types of the contract, and protobuf's own simple ones, are written out; those we do not know are
//! kept as `{"@type":…,"value":…}` with the encoded message in base64.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use prost_types::{Any, Duration, FieldMask, Timestamp};
use serde::de::{self, Deserializer, Error as _, MapAccess, Unexpected, Visitor};
use serde_json::{Map, Value};

use super::{
    Json,
    canonical::Walker,
    fields::Fields,
    generated,
    read::{Found, FromJson, ReadOptions, Reader, read_message},
    write::{Object, ToJson, Writer},
};

/// How many `Any` may lie inside each other when they are written out; deeper ones stay encoded.
/// An `Any` costs an attacker a few bytes, but us a level of the stack and another pass over
/// everything inside it.
const MAX_ANY_DEPTH: u32 = 8;

/// How to write and read the messages of one type inside an `Any`.
pub(super) struct AnyType {
    /// Adds the message's fields; says no, and adds nothing, if the bytes are not of this type or
    /// JSON cannot say them.
    write: fn(&[u8], &mut Object<'_>) -> bool,
    /// Takes the object without `@type`, gives the encoded message.
    read: fn(Members, &mut Reader) -> Result<Vec<u8>, serde_json::Error>,
}

/// An object kept whole.
type Members = Map<String, Value>;

impl AnyType {
    /// A message, whose fields stand beside `@type`.
    pub(super) fn message<T: Json>() -> Self {
        Self {
            write: |bytes, object| {
                let message = T::decode(bytes);
                message.is_ok_and(|message| {
                    message.write_fields(object);
                    true
                })
            },
            read: |object, reader| {
                // Left encoded by the writer, because it lay too deep or was damaged.
                if T::field("value").is_none() && object.keys().eq(["value"]) {
                    return read_base64(object);
                }
                match read_message::<T, _>(Value::Object(object), reader)? {
                    Found::Value(message) => Ok(message.encode_to_vec()),
                    Found::Null | Found::Unknown => Ok(Vec::new()),
                }
            },
        }
    }

    /// A type with a JSON form of its own, which stands in `value`.
    fn value<T: prost::Message + Default + ToJson + FromJson>() -> Self {
        Self {
            write: |bytes, object| {
                let value = T::decode(bytes).ok().filter(T::has_json);
                value.is_some_and(|value| {
                    object.present(VALUE_KEY, &value);
                    true
                })
            },
            read: |object, reader| {
                let value = only_value(object)?.unwrap_or_default();
                match T::read(value, reader)? {
                    Found::Value(value) => Ok(value.encode_to_vec()),
                    Found::Null | Found::Unknown => Ok(Vec::new()),
                }
            },
        }
    }

    /// The mapping for a type URL such as `type.googleapis.com/flow.Flow`.
    fn of(type_url: &str) -> Option<Self> {
        let (_, name) = type_url.rsplit_once('/')?;
        match name {
            "google.protobuf.BoolValue" => Some(Self::value::<bool>()),
            "google.protobuf.DoubleValue" => Some(Self::value::<f64>()),
            "google.protobuf.Duration" => Some(Self::value::<Duration>()),
            "google.protobuf.FieldMask" => Some(Self::value::<FieldMask>()),
            "google.protobuf.Int32Value" => Some(Self::value::<i32>()),
            "google.protobuf.Int64Value" => Some(Self::value::<i64>()),
            "google.protobuf.StringValue" => Some(Self::value::<String>()),
            "google.protobuf.Timestamp" => Some(Self::value::<Timestamp>()),
            "google.protobuf.UInt32Value" => Some(Self::value::<u32>()),
            "google.protobuf.UInt64Value" => Some(Self::value::<u64>()),
            _ => generated::any_type(name),
        }
    }
}

const TYPE_KEY: &str = ",\"@type\":";
const VALUE_KEY: &str = ",\"value\":";

impl ToJson for Any {
    fn is_default(&self) -> bool {
        false
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.object(|object| {
            if self.type_url.is_empty() && self.value.is_empty() {
                return;
            }
            object.present(TYPE_KEY, &self.type_url);
            object.writer.any_depth += 1;
            let known =
                AnyType::of(&self.type_url).filter(|_| object.writer.any_depth <= MAX_ANY_DEPTH);
            let written = known.is_some_and(|known| (known.write)(&self.value, object));
            if !written && !self.value.is_empty() {
                object.present(VALUE_KEY, &STANDARD.encode(&self.value));
            }
        });
    }
}

impl FromJson for Any {
    fn read<'de, D: Deserializer<'de>>(
        value: D,
        reader: &mut Reader,
    ) -> Result<Found<Self>, D::Error> {
        value.deserialize_any(AnyVisitor { reader })
    }

    fn read_canonical(walker: &mut Walker<'_>, _: &Fields) -> Option<Self> {
        // What is in it has to be encoded, as the full reader does. It is known to be canonical.
        let mut json = serde_json::Deserializer::from_str(walker.any()?);
        match Self::read(&mut json, &mut Reader::new(ReadOptions::default())) {
            Ok(Found::Value(any)) => Some(any),
            Ok(Found::Null | Found::Unknown) | Err(_) => None,
        }
    }
}

struct AnyVisitor<'a> {
    reader: &'a mut Reader,
}

impl<'de> Visitor<'de> for AnyVisitor<'_> {
    type Value = Found<Any>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with @type")
    }

    fn visit_unit<E>(self) -> Result<Found<Any>, E> {
        Ok(Found::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<Any>, A::Error> {
        // `@type` may come last, so the object is kept whole until the type is known.
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("{key:?} is given twice")));
            }
            let value = map.next_value()?;
            object.insert(key, value);
        }
        let type_url = match object.remove("@type") {
            Some(Value::String(type_url)) => type_url,
            Some(other) => {
                return Err(A::Error::invalid_type(
                    unexpected(&other),
                    &"@type as a string",
                ));
            }
            None if object.is_empty() => return Ok(Found::Value(Any::default())),
            None => return Err(A::Error::missing_field("@type")),
        };
        let value = match AnyType::of(&type_url) {
            Some(known) => (known.read)(object, self.reader),
            None => read_base64(object),
        };
        Ok(Found::Value(Any {
            type_url,
            value: value.map_err(A::Error::custom)?,
        }))
    }
}

fn only_value(mut object: Members) -> Result<Option<Value>, serde_json::Error> {
    let value = object.remove("value");
    match object.keys().next() {
        Some(key) => Err(de::Error::unknown_field(key, &["@type", "value"])),
        None => Ok(value),
    }
}

fn read_base64(object: Members) -> Result<Vec<u8>, serde_json::Error> {
    /// Both alphabets are read, and padding is left to the writer.
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);

    let expected = "a message encoded in base64";
    match only_value(object)? {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => LENIENT
            .decode(text.replace('-', "+").replace('_', "/"))
            .map_err(|_| de::Error::invalid_value(Unexpected::Str(&text), &expected)),
        Some(other) => Err(de::Error::invalid_type(unexpected(&other), &expected)),
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(_) => Unexpected::Other("number"),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

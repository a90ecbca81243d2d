//! Values that are neither objects nor lists, read by protobuf's rules: numbers may stand in
//! strings, whole numbers may carry a fraction of zero or an exponent.

use std::{fmt, marker::PhantomData, str::FromStr as _};

use serde::de::{self, Deserializer, Unexpected, Visitor};

use super::{
    canonical::Walker,
    fields::Fields,
    read::{Found, FromJson, ReadOptions, Reader},
    write::ToJson,
};

/// A number as the text gave it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// Zero or more, whole.
    Unsigned(u64),
    /// Less than zero, whole.
    Signed(i64),
    /// With a fraction, with an exponent, or too large for the others.
    Float(f64),
}

impl Number {
    /// A number in a string. JSON's own grammar decides, so there is no `+1`, `0x1` or ` 1`.
    fn parse(text: &str) -> Option<Self> {
        if text.ends_with(|last: char| !last.is_ascii_digit()) {
            return None;
        }
        if !text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            return None;
        }
        let number = serde_json::Number::from_str(text).ok()?;
        number
            .as_u64()
            .map(Self::Unsigned)
            .or_else(|| number.as_i64().map(Self::Signed))
            .or_else(|| number.as_f64().map(Self::Float))
    }
}

/// One kind of value. Each constructor says `None` to what this kind cannot be.
pub(super) trait Scalar: ToJson + Sized {
    /// Completes "expected …".
    const EXPECTED: &'static str;

    /// From `true` or `false`.
    fn from_bool(_: bool) -> Option<Self> {
        None
    }

    /// From a bare number.
    fn from_number(_: Number) -> Option<Self> {
        None
    }

    /// From a string.
    fn from_text(_: &str, _: ReadOptions) -> Option<Found<Self>> {
        None
    }

    /// From the form that the writer gives it. Kinds that flows do not have need not bother.
    fn from_canonical(_: &mut Walker<'_>) -> Option<Self> {
        None
    }
}

impl Scalar for String {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str, _: ReadOptions) -> Option<Found<Self>> {
        Some(Found::Value(text.to_owned()))
    }

    fn from_canonical(walker: &mut Walker<'_>) -> Option<Self> {
        walker.text().map(|text| text.decoded())
    }
}

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }

    fn from_canonical(walker: &mut Walker<'_>) -> Option<Self> {
        walker.boolean()
    }
}

/// From here on, not every whole number has an `f64` of its own, so that a number which came as one
/// may not be the one that was written.
const INEXACT_FLOATS: f64 = 9_007_199_254_740_992.0;

macro_rules! whole_number {
    ($($kind:ty: $expected:literal, $canonical:ident;)*) => {$(
        impl Scalar for $kind {
            const EXPECTED: &'static str = $expected;

            fn from_number(number: Number) -> Option<Self> {
                match number {
                    Number::Unsigned(value) => value.try_into().ok(),
                    Number::Signed(value) => value.try_into().ok(),
                    Number::Float(value) if value.fract() == 0.0 && value.abs() < INEXACT_FLOATS => {
                        // Exact: a whole number well within 64 bits.
                        (value as i64).try_into().ok()
                    }
                    Number::Float(_) => None,
                }
            }

            fn from_text(text: &str, _: ReadOptions) -> Option<Found<Self>> {
                Number::parse(text).and_then(Self::from_number).map(Found::Value)
            }

            fn from_canonical(walker: &mut Walker<'_>) -> Option<Self> {
                walker.$canonical()
            }
        }
    )*};
}

whole_number! {
    i32: "a 32-bit integer", number;
    i64: "a 64-bit integer", quoted_number;
    u32: "an unsigned 32-bit integer", number;
    u64: "an unsigned 64-bit integer", quoted_number;
}

impl Scalar for f64 {
    const EXPECTED: &'static str = "a number, \"NaN\", \"Infinity\" or \"-Infinity\"";

    fn from_number(number: Number) -> Option<Self> {
        Some(match number {
            Number::Unsigned(value) => value as f64,
            Number::Signed(value) => value as f64,
            Number::Float(value) => value,
        })
    }

    fn from_text(text: &str, _: ReadOptions) -> Option<Found<Self>> {
        match text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            number => Number::parse(number).and_then(Self::from_number),
        }
        .map(Found::Value)
    }
}

impl<S: Scalar> FromJson for S {
    fn read<'de, D: Deserializer<'de>>(
        value: D,
        reader: &mut Reader,
    ) -> Result<Found<Self>, D::Error> {
        value.deserialize_any(ScalarVisitor {
            options: reader.options(),
            kind: PhantomData,
        })
    }

    fn read_canonical(walker: &mut Walker<'_>, _: &Fields) -> Option<Self> {
        S::from_canonical(walker)
    }
}

struct ScalarVisitor<S> {
    options: ReadOptions,
    kind: PhantomData<S>,
}

impl<S: Scalar> ScalarVisitor<S> {
    fn found<E: de::Error>(
        self,
        value: Option<S>,
        unexpected: Unexpected<'_>,
    ) -> Result<Found<S>, E> {
        value
            .map(Found::Value)
            .ok_or_else(|| E::invalid_value(unexpected, &self))
    }
}

impl<'de, S: Scalar> Visitor<'de> for ScalarVisitor<S> {
    type Value = Found<S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::EXPECTED)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Found<S>, E> {
        self.found(S::from_bool(value), Unexpected::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Found<S>, E> {
        self.found(
            S::from_number(Number::Signed(value)),
            Unexpected::Signed(value),
        )
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Found<S>, E> {
        self.found(
            S::from_number(Number::Unsigned(value)),
            Unexpected::Unsigned(value),
        )
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Found<S>, E> {
        self.found(
            S::from_number(Number::Float(value)),
            Unexpected::Float(value),
        )
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Found<S>, E> {
        S::from_text(value, self.options)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Found<S>, E> {
        Ok(Found::Null)
    }
}

//! Values of a configuration file, and what they mean where another type is asked for.
//!
//! The rules are those of Hubble's client, so that a file means the same to both: a switch may be
//! written `true`, `"t"` or `1`, a duration `5s` or a number of nanoseconds, a list as a list or as
//! words between blanks.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::flags::{ValueError, value};

/// A value as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Switch(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl Value {
    /// The value as text; lists and maps have none.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Switch(value) => Some(value.to_string()),
            Self::Whole(value) => Some(value.to_string()),
            Self::Fraction(value) => Some(value.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The value as a list. In a text, blanks part the elements.
    pub(crate) fn list(&self) -> Vec<String> {
        match self {
            Self::List(list) => list
                .iter()
                .map(|element| element.text().unwrap_or_default())
                .collect(),
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            other => other.text().into_iter().collect(),
        }
    }

    /// The value as a switch; what cannot be one is off.
    pub(crate) fn switch(&self) -> bool {
        match self {
            Self::Switch(value) => *value,
            Self::Whole(value) => *value != 0,
            Self::Fraction(value) => *value != 0.0,
            Self::Text(text) => value::switch(text).unwrap_or(false),
            Self::Null | Self::List(_) | Self::Map(_) => false,
        }
    }

    /// The value as a duration; what cannot be one is none at all.
    pub(crate) fn duration_ns(&self) -> i64 {
        match self {
            Self::Whole(value) => *value,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a fraction of a nanosecond does not count, and what is too large is cut"
            )]
            Self::Fraction(value) => *value as i64,
            Self::Text(text) => duration_ns(text).unwrap_or(0),
            Self::Null | Self::Switch(_) | Self::List(_) | Self::Map(_) => 0,
        }
    }
}

/// A duration with its unit, or a number of nanoseconds.
///
/// # Errors
/// Neither.
pub(crate) fn duration_ns(text: &str) -> Result<i64, ValueError> {
    if text.contains(['n', 's', 'u', '\u{b5}', 'm', 'h']) {
        value::duration_ns(text)
    } else {
        value::duration_ns(&format!("{text}ns"))
    }
}

/// A duration in hours, minutes and seconds, as in `1h30m0.5s`, or in the largest smaller unit.
pub(crate) fn duration_text(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let decimal = |unit: u64| {
        let digits = unit.ilog10() as usize;
        let fraction = format!("{:0digits$}", ns % unit);
        match fraction.trim_end_matches('0') {
            "" => (ns / unit).to_string(),
            fraction => format!("{}.{fraction}", ns / unit),
        }
    };
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{ns}ns"),
        1_000..1_000_000 => format!("{sign}{}\u{b5}s", decimal(1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(1_000_000)),
        _ => {
            let seconds = decimal(1_000_000_000);
            let (whole, fraction) = match seconds.split_once('.') {
                Some((whole, fraction)) => (whole, format!(".{fraction}")),
                None => (seconds.as_str(), String::new()),
            };
            let whole: u64 = whole.parse().unwrap_or_default();
            let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{rest}{fraction}s"),
                (0, _) => format!("{sign}{minutes}m{rest}{fraction}s"),
                _ => format!("{sign}{hours}h{minutes}m{rest}{fraction}s"),
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// Takes whatever stands in the file.
struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Switch(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // No setting is that large: a text keeps all its digits.
        Ok(i64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Fraction(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            // Names count in any case; of two that differ only in case, the first one typed wins.
            map.entry(name.to_lowercase()).or_insert(value);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_typed() {
        for (ns, text) in [
            (0, "0s"),
            (5, "5ns"),
            (-5, "-5ns"),
            (100_000, "100\u{b5}s"),
            (1_500_000, "1.5ms"),
            (5_000_000_000, "5s"),
            (-1_500_000_000, "-1.5s"),
            (90_000_000_000, "1m30s"),
            (5_400_000_000_000, "1h30m0s"),
            (5_410_500_000_000, "1h30m10.5s"),
        ] {
            assert_eq!(duration_text(ns), text);
            assert_eq!(duration_ns(text), Ok(ns), "{text}");
        }
    }

    #[test]
    fn a_number_without_unit_counts_nanoseconds() {
        assert_eq!(duration_ns("5"), Ok(5));
        assert_eq!(duration_ns("1.5"), Ok(1));
        assert_eq!(
            duration_ns("1d").unwrap_err().to_string(),
            "time: unknown unit \"dns\" in duration \"1dns\""
        );
        assert_eq!(
            duration_ns("x").unwrap_err().to_string(),
            "time: invalid duration \"xns\""
        );
    }

    #[test]
    fn what_is_no_switch_is_off() {
        for (value, on) in [
            (Value::Switch(true), true),
            (Value::Whole(1), true),
            (Value::Text("T".to_owned()), true),
            (Value::Text("maybe".to_owned()), false),
            (Value::Text("9".to_owned()), false),
            (Value::List(Vec::new()), false),
        ] {
            assert_eq!(value.switch(), on, "{value:?}");
        }
    }
}

//! Mistakes in plain words, for people who wrote an expression by hand.

use flow_api::near::nearest;

use super::parse::OPERAND;
use super::spell::operator;
use super::types::Type;

/// Functions that people look for.
const FUNCTIONS: [&str; 9] = [
    "double",
    "duration",
    "has",
    "int",
    "matches",
    "size",
    "string",
    "timestamp",
    "uint",
];

/// The same for those that are called with a dot.
const METHODS: [&str; 10] = [
    "all",
    "contains",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "glob",
    "map",
    "matches",
    "startsWith",
];

/// Something stands where it cannot.
pub(super) fn unexpected(found: &str, expected: &str) -> String {
    let instead = match found.to_ascii_lowercase().as_str() {
        "and" => Some("&&"),
        "or" => Some("||"),
        "not" => Some("!"),
        "like" => Some(".glob(\"...\")"),
        _ => None,
    };
    if let Some(instead) = instead {
        return format!("write {instead} instead of '{found}'");
    }
    if expected == "<EOF>"
        && let Some(method) = METHODS
            .iter()
            .find(|known| known.eq_ignore_ascii_case(found))
    {
        return format!("write .{method}(...) behind what it is asked of");
    }
    let expected = match expected {
        OPERAND => "a field or a value",
        "<EOF>" => "&&, || or the end",
        "IDENTIFIER" => "a name",
        other => other,
    };
    match found {
        "<EOF>" => format!("expected {expected}, and here is the end"),
        found => format!("expected {expected}, found '{found}'"),
    }
}

/// Something is no word of the language.
pub(super) fn unreadable(found: &str, problem: &str) -> String {
    match found {
        "=" => "write == to compare".to_owned(),
        "&" => "write && where both must hold".to_owned(),
        "|" => "write || where one must hold".to_owned(),
        "~" => "write .matches(\"...\") for regular expressions".to_owned(),
        _ if found.starts_with(['"', '\'']) => format!("the text {found} has no good end"),
        _ if problem.starts_with("token") => format!("'{found}' means nothing here"),
        _ => problem.to_owned(),
    }
}

/// There is no such function.
pub(super) fn no_function(name: &str, is_method: bool) -> String {
    let (known, call) = if is_method {
        (&METHODS[..], ".")
    } else {
        (&FUNCTIONS[..], "")
    };
    // As other languages write it.
    let plain = name.replace('_', "");
    let near = known
        .iter()
        .find(|known| known.eq_ignore_ascii_case(&plain))
        .copied()
        .or_else(|| nearest(name, known.iter().copied()));
    match near {
        Some(near) => format!("there is no function '{name}', did you mean '{call}{near}(...)'?"),
        None => format!("there is no function '{name}'"),
    }
}

/// A function does not take what it is given.
pub(super) fn no_overload(function: &str, types: &[Type]) -> String {
    let words: Vec<String> = types.iter().map(Type::words).collect();
    if let ("!_" | "-_", [of]) = (function, words.as_slice()) {
        let sign = &function[..1];
        return format!("'{sign}' cannot stand before {of}");
    }
    match (operator(function), words.as_slice()) {
        (Some(sign @ ("&&" | "||")), [left, right]) => {
            let wrong = if types.first() == Some(&Type::Bool) {
                right
            } else {
                left
            };
            format!("'{sign}' joins conditions, and one side is {wrong}")
        }
        (Some(sign), [left, right]) => {
            format!("'{sign}' cannot stand between {left} and {right}")
        }
        _ => {
            let function = if function == "_[_]" {
                "[...]"
            } else {
                function
            };
            format!("'{function}' does not take {}", words.join(" and "))
        }
    }
}

impl Type {
    /// What it is, as people say it.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Bool => "a condition".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Double => "a number with a fraction".to_owned(),
            Self::Duration => "a duration".to_owned(),
            Self::Int | Self::Uint => "a number".to_owned(),
            Self::List(element) => format!("a list of {}", element.many()),
            Self::Map(_) => "a map".to_owned(),
            Self::Message(message) => format!("a whole {}", message.name()),
            Self::Null => "null".to_owned(),
            Self::String => "a text".to_owned(),
            Self::Timestamp => "a time".to_owned(),
            Self::Meta(_) => "a type".to_owned(),
            Self::Wrapper(of) => of.words(),
            Self::Dyn | Self::Error | Self::Param(_) => "something".to_owned(),
        }
    }

    fn many(&self) -> String {
        match self {
            Self::Int | Self::Uint => "numbers".to_owned(),
            Self::Message(message) => format!("{}s", message.name()),
            Self::String => "texts".to_owned(),
            _ => "values".to_owned(),
        }
    }
}

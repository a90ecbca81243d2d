//! Field masks: one string, paths in lowerCamelCase, joined by commas.

use prost_types::FieldMask;

use super::{
    read::{Found, ReadOptions},
    scalar::Scalar,
    write::{ToJson, Writer},
};

impl ToJson for FieldMask {
    fn is_default(&self) -> bool {
        false
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let paths: Vec<String> = self.paths.iter().map(|path| camel_case(path)).collect();
        writer.text(&paths.join(","));
    }
}

impl Scalar for FieldMask {
    const EXPECTED: &'static str = "a string of field paths";

    fn from_text(text: &str, _: ReadOptions) -> Option<Found<Self>> {
        let paths = text
            .split(',')
            .filter(|path| !path.is_empty())
            .map(snake_case)
            .collect();
        Some(Found::Value(Self { paths }))
    }
}

/// `flow.node_name` is `flow.nodeName`.
fn camel_case(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '_' && next.is_ascii_lowercase() => {
                camel.push(next.to_ascii_uppercase());
                chars.next();
            }
            _ => camel.push(c),
        }
    }
    camel
}

/// `flow.nodeName` is `flow.node_name`. A part that begins with a capital, such as `IP`, is no
/// camel case and stays.
fn snake_case(path: &str) -> String {
    let mut snake = String::with_capacity(path.len());
    for part in path.split('.') {
        if !snake.is_empty() {
            snake.push('.');
        }
        if part.starts_with(|first: char| first.is_ascii_uppercase()) {
            snake.push_str(part);
            continue;
        }
        for c in part.chars() {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_change_their_case_and_capitals_at_the_start_stay() {
        for (snake, camel) in [
            ("time", "time"),
            ("node_name", "nodeName"),
            ("source.pod_name", "source.podName"),
            ("l4.TCP.source_port", "l4.TCP.sourcePort"),
            ("IP", "IP"),
        ] {
            assert_eq!(camel_case(snake), camel);
            assert_eq!(snake_case(camel), snake);
        }
    }
}

//! Filters as the API has them: `FlowFilter` messages in JSON, read from flags and printed.

use flow_api::{flow::FlowFilter, json};
use serde::de::IgnoredAny;

use super::yaml;

/// A text that is not a row of `FlowFilter` messages in JSON.
#[derive(Debug, thiserror::Error)]
#[error("invalid --{flag} flag: failed to decode '{text}': {reason}")]
pub(crate) struct RawFilterError {
    flag: &'static str,
    text: String,
    reason: String,
}

/// Reads filters; each text may hold any number of them, with or without blanks between.
///
/// # Errors
/// The first text that holds something else.
pub(crate) fn parse(
    flag: &'static str,
    texts: &[String],
) -> Result<Vec<FlowFilter>, RawFilterError> {
    let mut filters = Vec::new();
    for text in texts {
        let fail = |reason: String| RawFilterError {
            flag,
            text: text.clone(),
            reason,
        };
        // First find where each value ends, then read it as a message.
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        let mut start = 0;
        while let Some(value) = values.next() {
            value.map_err(|error| fail(error.to_string()))?;
            let end = values.byte_offset();
            filters
                .push(json::from_str(&text[start..end]).map_err(|error| fail(error.to_string()))?);
            start = end;
        }
    }
    Ok(filters)
}

/// The filters as a YAML document that a configuration file can hold.
pub(crate) fn print(allow: &[FlowFilter], deny: &[FlowFilter]) -> String {
    let mut document = String::new();
    for (name, filters) in [("allowlist", allow), ("denylist", deny)] {
        if filters.is_empty() {
            continue;
        }
        document.push_str(name);
        document.push_str(":\n");
        for filter in filters {
            document.push_str("    - ");
            yaml::quote_into(&mut document, &json::to_string(filter));
            document.push('\n');
        }
    }
    if document.is_empty() {
        document.push_str("{}\n");
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn one_text_may_hold_several_filters() {
        let filters = parse(
            "allowlist",
            &texts(&[r#"{"uuid":["a"]} {}"#, "", r#"{"reply":[true]}"#]),
        );
        let filters = filters.unwrap();
        assert_eq!(filters.len(), 3);
        assert_eq!(filters[0].uuid, ["a"]);
        assert_eq!(filters[2].reply, [true]);
    }

    #[test]
    fn an_error_names_the_flag_and_the_text() {
        let error = parse("denylist", &texts(&["nope"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("invalid --denylist flag: failed to decode 'nope': "),
            "{error}"
        );
        assert!(parse("denylist", &texts(&[r#"{"verdict":["NOPE"]}"#])).is_err());
        assert!(parse("denylist", &texts(&["{} x"])).is_err());
    }

    #[test]
    fn what_is_printed_reads_as_yaml() {
        let filter = FlowFilter {
            source_pod: vec!["it's".to_owned()],
            ..FlowFilter::default()
        };
        assert_eq!(
            print(&[filter], &[]),
            "allowlist:\n    - '{\"source_pod\":[\"it''s\"]}'\n"
        );
        assert_eq!(print(&[], &[]), "{}\n");
    }
}

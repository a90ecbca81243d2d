//! Which trace a request belongs to (W3C Trace Context).

use flow_api::flow;

/// The trace as flows tell it.
pub(crate) fn trace_context(trace_id: &str) -> flow::TraceContext {
    flow::TraceContext {
        parent: Some(flow::TraceParent {
            trace_id: trace_id.to_owned(),
        }),
    }
}

/// The trace of a `traceparent` header: version, trace, span and flags, in hexadecimal with hyphens
/// (W3C Trace Context). Later versions may add to it.
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    let is_hex = |text: &str, len: usize| {
        text.len() == len
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(span, 16)
        && !is_zero(span)
        && is_hex(flags, 2);
    is_valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_a_valid_traceparent_names_a_trace() {
        let span = "00f067aa0ba902b7";
        for (text, expected) in [
            (format!("00-{TRACE}-{span}-01"), Some(TRACE)),
            (format!("cc-{TRACE}-{span}-01-what-comes"), Some(TRACE)),
            (format!("00-{TRACE}-{span}-01-more"), None),
            (format!("ff-{TRACE}-{span}-01"), None),
            (format!("00-{}-{span}-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{span}-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-{span}"), None),
            (String::new(), None),
        ] {
            assert_eq!(trace_id(&text), expected, "{text}");
        }
    }
}

//! From the datapath's debug messages to debug events.

use flow_api::flow::{self, DebugEvent, DebugEventType};

use super::DebugMessage;

/// The event that a message is; `source` is the endpoint with the message's number.
pub(crate) fn debug_event(
    message: &DebugMessage,
    cpu: u32,
    source: Option<flow::Endpoint>,
) -> DebugEvent {
    let [arg1, arg2, arg3] = message.arguments;
    DebugEvent {
        r#type: message.subtype.into(),
        source,
        hash: Some(message.hash),
        arg1: Some(arg1),
        arg2: Some(arg2),
        arg3: Some(arg3),
        message: text(message),
        cpu: Some(cpu.cast_signed()),
    }
}

/// What the message is about, and its numbers. What they mean is known to who asked for them.
fn text(message: &DebugMessage) -> String {
    let [arg1, arg2, arg3] = message.arguments;
    let name = match DebugEventType::try_from(i32::from(message.subtype)) {
        Ok(kind) => kind
            .as_str_name()
            .trim_start_matches("DBG_")
            .to_lowercase()
            .replace('_', " "),
        Err(_) => format!("message {}", message.subtype),
    };
    format!("{name}: {arg1:#x} {arg2:#x} {arg3:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_its_kind_its_numbers_and_its_cpu() {
        let message = |subtype| DebugMessage {
            subtype,
            source: 0,
            hash: 0,
            arguments: [0, 80, 0xabc],
        };
        let event = debug_event(&message(66), 3, None);
        assert_eq!(event.r#type(), DebugEventType::DbgSkipPolicy);
        assert_eq!(event.message, "skip policy: 0x0 0x50 0xabc");
        assert_eq!(
            (event.hash, event.arg1, event.cpu),
            (Some(0), Some(0), Some(3))
        );
        assert_eq!(
            debug_event(&message(200), 3, None).message,
            "message 200: 0x0 0x50 0xabc"
        );
    }
}

//! What an event takes of memory beside its slot.

use super::Event;
use crate::record::Rare;

/// Bytes that lie elsewhere for this event alone. What events share is not counted: labels, names,
/// interfaces. A message is counted by what its fields say, which is about what they take.
pub(super) fn aside_bytes(event: &Event) -> u64 {
    let bytes = match event {
        Event::Flow(flow) if flow.rare.is_some() => size_of::<Rare>(),
        Event::Flow(_) | Event::Lost(_) => 0,
        Event::Message(message) => of_message(&*message.message),
        Event::Recorded(response) => of_message(&*response.message),
        Event::Agent(message) => of_message(&*message.message),
        Event::Debug(message) => of_message(&*message.message),
    };
    bytes as u64
}

fn of_message<T: prost::Message>(message: &T) -> usize {
    size_of::<T>() + message.encoded_len()
}

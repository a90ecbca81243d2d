//! Which fields of a message are to be written.

/// Answers, for each field of a message, whether a reader wants it. Compiled into the encoder, so
/// that readers who want the whole pay nothing for those who want parts.
pub(crate) trait Select: Copy {
    /// What is wanted of a field; `None` for nothing.
    fn field(self, number: u32) -> Option<Self>;

    /// Only some fields are wanted of this message. It is written even where the flow has none, as
    /// in Hubble.
    fn is_parts(self) -> bool;

    /// Whether a field without fields of its own is wanted.
    #[inline]
    fn has(self, number: u32) -> bool {
        self.field(number).is_some()
    }
}

/// Wants every field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Everything;

impl Select for Everything {
    #[inline]
    fn field(self, _number: u32) -> Option<Self> {
        Some(self)
    }

    #[inline]
    fn is_parts(self) -> bool {
        false
    }
}

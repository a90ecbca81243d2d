//! What messages look like in canonical form: a table of their fields, generated from the `.proto`.

/// The fields of a message, in the order of declaration, which is that of canonical text.
#[derive(Debug)]
pub struct Shape(pub(super) &'static [Field]);

impl Shape {
    /// The name of the field at a position, as in the `.proto`.
    pub(super) fn name(&self, field: usize) -> &'static str {
        self.0[field].name()
    }

    /// The position of the field with this name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|field| field.name() == name)
    }
}

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    /// The name in quotes, with a colon.
    pub(super) key: &'static str,
    /// The first bytes of the key, and which of them count: most keys differ there.
    head: u64,
    head_mask: u64,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
}

/// What one value of a field is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Any,
    Bool,
    /// With the look-up of its names.
    Enum(fn(&str) -> Option<i32>),
    Int32,
    Int64,
    /// A look-up as well, since messages may hold messages of their own type.
    Message(fn() -> &'static Shape),
    /// What flows hardly ever have, and the canonical reader leaves to the other.
    Other,
    Text,
    Time,
    Uint32,
    Uint64,
}

/// How a field says that it is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Presence {
    /// By a value that is not the default.
    Value,
    /// By having any value.
    Key,
    /// As one of the members of a oneof, which stand together in the table.
    Member,
    /// By having elements.
    List,
}

impl Field {
    pub(super) const fn new(key: &'static str, kind: Kind) -> Self {
        let (head, head_mask) = head_of_key(key.as_bytes());
        Self {
            key,
            head,
            head_mask,
            kind,
            presence: Presence::Value,
        }
    }

    pub(super) const fn optional(mut self) -> Self {
        self.presence = Presence::Key;
        self
    }

    pub(super) const fn member(mut self) -> Self {
        self.presence = Presence::Member;
        self
    }

    pub(super) const fn list(mut self) -> Self {
        self.presence = Presence::List;
        self
    }

    fn name(&self) -> &'static str {
        &self.key[1..self.key.len() - 2]
    }

    /// Whether its key begins a text, of which `head` are the first bytes.
    pub(super) fn begins(&self, text: &[u8], head: u64) -> bool {
        (head ^ self.head) & self.head_mask == 0 && text.starts_with(self.key.as_bytes())
    }
}

/// The first eight bytes of a text, the first one lowest.
pub(super) fn head(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        // So near the end there is no whole key.
        None => 0,
    }
}

const fn head_of_key(key: &[u8]) -> (u64, u64) {
    let (mut head, mut mask) = (0, 0);
    let mut index = 0;
    while index < key.len() && index < 8 {
        head |= (key[index] as u64) << (8 * index);
        mask |= 0xff << (8 * index);
        index += 1;
    }
    (head, mask)
}

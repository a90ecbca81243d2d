//! The fast reader: one pass over a text that is exactly what the writer writes.
//!
//! In: text and a choice of fields. Out: the message with those fields, or `None` for any text that
//! [`write()`](super::write()) would not give, from end to end: fields out of order, defaults, white
//! space, escapes that need not be. So what is read here equals what the other reader reads, and the
//! text itself is the message's JSON form. Fields that are not wanted are checked by the tables in
//! [`shape`](super::shape) and never stored.

mod number;
mod text;

use prost_types::Timestamp;

use self::text::is_plain;
use super::{
    enums::{Enumeration, Named},
    fields::Fields,
    generated,
    read::{Entry, FromJson, ReadFields},
    shape::{Field, Kind, Presence, Shape, head},
    time,
};

/// How many messages may lie inside each other: more than any message of the contract needs that has
/// no end of its own, and few enough for any stack.
const MAX_DEPTH: usize = 32;

/// A text, and how far it is read.
pub struct Walker<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    is_within_any: bool,
    /// Nothing in it needs escapes, so that strings end at the next quote.
    is_plain: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            is_within_any: false,
            is_plain: is_plain(text.as_bytes()),
        }
    }

    /// A message, and nothing behind it.
    pub(super) fn root<T: ReadFields>(mut self, fields: &Fields) -> Option<T> {
        let message = self.message(fields)?;
        self.rest().is_empty().then_some(message)
    }

    pub(super) fn message<T: ReadFields>(&mut self, fields: &Fields) -> Option<T> {
        let mut message = T::default();
        self.members(T::SHAPE, |walker, position, field| {
            if !fields.has(position) {
                return walker.skip(field);
            }
            let fields = fields.within(position);
            message.read_field(position, Member { walker, fields }).ok()
        })?;
        Some(message)
    }

    pub(super) fn enumeration(&mut self, number: fn(&str) -> Option<i32>) -> Option<i32> {
        number(self.text()?.undecoded()?)
    }

    pub(super) fn boolean(&mut self) -> Option<bool> {
        if self.eat(b"true") {
            return Some(true);
        }
        self.eat(b"false").then_some(false)
    }

    pub(super) fn time(&mut self) -> Option<Timestamp> {
        time::parse_canonical_timestamp(self.text()?.undecoded()?.as_bytes())
    }

    /// Checks an `Any` that holds a message of the contract, and no other `Any`. Returns its text.
    pub(super) fn any(&mut self) -> Option<&'a str> {
        let start = self.at;
        if !self.eat(b"{\"@type\":") {
            return None;
        }
        let (_, name) = self.text()?.undecoded()?.rsplit_once('/')?;
        let shape = generated::shape(name)?;
        if std::mem::replace(&mut self.is_within_any, true) {
            return None;
        }
        match self.byte()? {
            b'}' => {}
            b',' => self.members_until_end(shape, |walker, _, field| walker.skip(field))?,
            _ => return None,
        }
        self.is_within_any = false;
        self.text.get(start..self.at)
    }

    /// An object: `member` reads the value of each of its fields.
    fn members(
        &mut self,
        shape: &'static Shape,
        member: impl FnMut(&mut Self, usize, &'static Field) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.eat(b"}") {
            return Some(());
        }
        self.members_until_end(shape, member)
    }

    /// The same behind the opening brace, or a comma.
    fn members_until_end(
        &mut self,
        shape: &'static Shape,
        mut member: impl FnMut(&mut Self, usize, &'static Field) -> Option<()>,
    ) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let mut next = 0;
        let mut oneof_is_set = false;
        loop {
            let position = self.key(shape, next)?;
            let field = &shape.0[position];
            if field.presence == Presence::Member {
                // Its members stand together, so there is one oneof to think of at a time.
                let is_same = oneof_is_set
                    && shape.0[next..position]
                        .iter()
                        .all(|between| between.presence == Presence::Member);
                if is_same {
                    return None;
                }
                oneof_is_set = true;
            } else {
                oneof_is_set = false;
            }
            member(self, position, field)?;
            next = position + 1;
            match self.byte()? {
                b',' => {}
                b'}' => {
                    self.depth -= 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// The key of a field at or after a position.
    fn key(&mut self, shape: &'static Shape, from: usize) -> Option<usize> {
        let rest = self.rest();
        let head = head(rest);
        let fields = shape.0.iter().enumerate().skip(from);
        let (position, field) = fields
            .into_iter()
            .find(|(_, field)| field.begins(rest, head))?;
        self.at += field.key.len();
        Some(position)
    }

    fn list(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'[')?;
        loop {
            element(self)?;
            match self.byte()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Checks a value that nobody wants.
    fn skip(&mut self, field: &'static Field) -> Option<()> {
        match field.presence {
            Presence::List => self.list(|walker| walker.skip_value(field.kind).map(|_| ())),
            Presence::Key | Presence::Member => self.skip_value(field.kind).map(|_| ()),
            Presence::Value => self.skip_value(field.kind)?.then_some(()),
        }
    }

    /// Checks one value, and says whether it is other than the default.
    fn skip_value(&mut self, kind: Kind) -> Option<bool> {
        Some(match kind {
            Kind::Any => {
                self.any()?;
                true
            }
            Kind::Bool => self.boolean()?,
            Kind::Enum(number) => self.enumeration(number)? != 0,
            Kind::Int32 => self.number::<i32>()? != 0,
            Kind::Int64 => self.quoted_number::<i64>()? != 0,
            Kind::Message(shape) => {
                self.members(shape(), |walker, _, field| walker.skip(field))?;
                true
            }
            Kind::Other => return None,
            Kind::Text => !self.text()?.is_empty(),
            Kind::Time => {
                self.time()?;
                true
            }
            Kind::Uint32 => self.number::<u32>()? != 0,
            Kind::Uint64 => self.quoted_number::<u64>()? != 0,
        })
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.text.as_bytes().get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then_some(())
    }

    /// Steps over these bytes, if they come next.
    fn eat(&mut self, bytes: &[u8]) -> bool {
        let comes = self.rest().starts_with(bytes);
        if comes {
            self.at += bytes.len();
        }
        comes
    }
}

/// The value of a field that is wanted.
struct Member<'w, 'a, 'f> {
    walker: &'w mut Walker<'a>,
    fields: &'f Fields,
}

/// The text is not canonical. Another reader finds out what it is.
struct NotCanonical;

impl Member<'_, '_, '_> {
    fn value<T: FromJson>(self) -> Result<T, NotCanonical> {
        T::read_canonical(self.walker, self.fields).ok_or(NotCanonical)
    }

    fn list<T: FromJson>(self, mut push: impl FnMut(T)) -> Result<(), NotCanonical> {
        let element =
            |walker: &mut Walker<'_>| T::read_canonical(walker, self.fields).map(&mut push);
        self.walker.list(element).ok_or(NotCanonical)
    }
}

impl Entry for Member<'_, '_, '_> {
    type Error = NotCanonical;

    fn singular<T: FromJson>(self, slot: &mut T) -> Result<(), NotCanonical> {
        *slot = self.value()?;
        if slot.is_default() {
            return Err(NotCanonical);
        }
        Ok(())
    }

    fn optional<T: FromJson>(self, slot: &mut Option<T>) -> Result<(), NotCanonical> {
        *slot = Some(self.value()?);
        Ok(())
    }

    fn enumeration<E: Enumeration>(self, slot: &mut i32) -> Result<(), NotCanonical> {
        let mut named = Named::<E>::new(0);
        self.singular(&mut named)?;
        *slot = named.number;
        Ok(())
    }

    fn repeated<T: FromJson>(self, slot: &mut Vec<T>) -> Result<(), NotCanonical> {
        self.list(|value| slot.push(value))
    }

    fn enumerations<E: Enumeration>(self, slot: &mut Vec<i32>) -> Result<(), NotCanonical> {
        self.list(|value: Named<E>| slot.push(value.number))
    }

    fn variant<T: FromJson, O>(
        self,
        slot: &mut Option<O>,
        _: &'static str,
        variant: impl FnOnce(T) -> O,
    ) -> Result<(), NotCanonical> {
        *slot = Some(variant(self.value()?));
        Ok(())
    }

    fn skip(self) -> Result<(), NotCanonical> {
        Err(NotCanonical)
    }
}

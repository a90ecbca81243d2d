//! DNS messages (RFC 1035): who asks for which name, and what the answer is.
//!
//! In: a UDP payload, or the beginning of one TCP segment. Out: a [`Message`] that borrows it. All
//! that it will yield was checked by [`parse`], so its iterators cannot fail, but for the additional
//! records: those are only looked at by who asks for them.
//!
//! This is code of our own because libraries build a message as vectors of records, an allocation
//! or more for each packet, and refuse a message that the capture cut short, whereas here its
//! question and its first answers are worth having. `simple-dns` writes and checks the messages of
//! the tests.
//!
//! A DNS message over TCP that does not begin where its segment does is not found.

mod name;
mod record;

pub use name::Name;
pub use record::{Answer, Binding, Data, Question, RecordType};

use super::{PayloadError, Protocol, reader::Reader};

const CUT: PayloadError = PayloadError::Cut {
    protocol: Protocol::Dns,
};

fn malformed(what: &'static str) -> PayloadError {
    PayloadError::Malformed {
        protocol: Protocol::Dns,
        what,
    }
}

/// How messages are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// One message to a datagram: UDP.
    Datagram,
    /// Each message after its length in two bytes: TCP. The first one is read.
    Stream,
}

/// A DNS message, as far as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    id: u16,
    flags: u16,
    /// Questions and answers that were read and found good.
    questions: u16,
    answers: u16,
    answers_at: usize,
    /// Records of the other two sections, and where they begin, in a message that is not cut.
    authorities: u16,
    additional: u16,
    authorities_at: usize,
    is_cut: bool,
}

/// Reads a message.
///
/// # Errors
/// [`PayloadError::Cut`] when not even the first question is there; [`PayloadError::Malformed`]
/// when a question or an answer contradicts the protocol.
pub fn parse(bytes: &[u8], framing: Framing) -> Result<Message<'_>, PayloadError> {
    let bytes = match framing {
        Framing::Datagram => bytes,
        Framing::Stream => {
            let (len, rest) = bytes.split_first_chunk().ok_or(CUT)?;
            rest.get(..u16::from_be_bytes(*len).into()).unwrap_or(rest)
        }
    };
    let mut reader = Reader::new(bytes);
    let mut number = || reader.u16().ok_or(CUT);
    let (id, flags) = (number()?, number()?);
    let (questions, answers) = (number()?, number()?);
    let (authorities, additional) = (number()?, number()?);

    let mut message = Message {
        bytes,
        id,
        flags,
        questions: 0,
        answers: 0,
        answers_at: reader.at(),
        authorities: 0,
        additional: 0,
        authorities_at: 0,
        is_cut: false,
    };
    match message.check(&mut reader, questions, answers) {
        Err(CUT) if message.questions == 0 => Err(CUT),
        Err(CUT) => {
            message.is_cut = true;
            Ok(message)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(Message {
            authorities,
            additional,
            authorities_at: reader.at(),
            ..message
        }),
    }
}

impl<'a> Message<'a> {
    /// Counts what is good, up to the end or the first thing that is not.
    fn check(
        &mut self,
        reader: &mut Reader<'a>,
        questions: u16,
        answers: u16,
    ) -> Result<(), PayloadError> {
        while self.questions < questions {
            Question::read(self.bytes, reader)?;
            self.questions += 1;
        }
        self.answers_at = reader.at();
        while self.answers < answers {
            Answer::read(self.bytes, reader)?;
            self.answers += 1;
        }
        Ok(())
    }

    /// The number that a question and its answer share.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Whether this is an answer rather than a question.
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// What is asked for: 0 for an ordinary query. Sections of other kinds (5 is an update) have
    /// other meanings.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        (self.flags >> 11) as u8 & 0xf
    }

    /// Whether the server says that it left answers out, to be asked again over TCP.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// How it went: 0 for success, 3 for a name that does not exist. Without the upper bits that
    /// EDNS can add.
    #[must_use]
    pub fn rcode(&self) -> u8 {
        self.flags as u8 & 0xf
    }

    /// Whether questions or answers are missing because the captured bytes end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The name that is asked for: that of the first question, as there is never another in
    /// practice.
    #[must_use]
    pub fn query(&self) -> Option<Name<'a>> {
        self.questions().next().map(|question| question.name)
    }

    /// What is asked for.
    pub fn questions(&self) -> impl Iterator<Item = Question<'a>> + use<'a> {
        items(self.bytes, HEADER_LEN, self.questions, Question::read)
    }

    /// The answers, in their order; an alias stands before what it leads to.
    pub fn answers(&self) -> impl Iterator<Item = Answer<'a>> + use<'a> {
        items(self.bytes, self.answers_at, self.answers, Answer::read)
    }

    /// What the server tells besides, up to the first record that is cut or malformed.
    pub fn additional(&self) -> impl Iterator<Item = Answer<'a>> + use<'a> {
        let both = self.authorities.saturating_add(self.additional);
        items(self.bytes, self.authorities_at, both, Answer::read).skip(self.authorities.into())
    }
}

/// `count` items of a message, all of which were read before.
fn items<'a, T>(
    message: &'a [u8],
    start: usize,
    count: u16,
    read: fn(&'a [u8], &mut Reader<'a>) -> Result<T, PayloadError>,
) -> impl Iterator<Item = T> {
    let mut reader = Reader::new(message);
    reader.take(start);
    (0..count).map_while(move |_| read(message, &mut reader).ok())
}

/// Id, flags and the four counts.
const HEADER_LEN: usize = 12;

#[cfg(test)]
mod tests;

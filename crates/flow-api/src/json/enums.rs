//! Enums: names in the text, numbers in the message.

use std::marker::PhantomData;

use super::{
    canonical::Walker,
    read::{Found, ReadOptions},
    scalar::{Number, Scalar},
    write::{ToJson, Writer},
};

/// An enum of the contract, by its names in the `.proto`.
pub trait Enumeration {
    /// The name of a number, if this contract knows it.
    fn name(number: i32) -> Option<&'static str>;
    /// The number of a name.
    fn number(name: &str) -> Option<i32>;
}

/// A value of an enum, known or not: prost keeps both as a bare number.
pub(super) struct Named<E> {
    pub(super) number: i32,
    names: PhantomData<E>,
}

impl<E> Named<E> {
    pub(super) fn new(number: i32) -> Self {
        Self {
            number,
            names: PhantomData,
        }
    }
}

impl<E: Enumeration> ToJson for Named<E> {
    fn is_default(&self) -> bool {
        self.number == 0
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match E::name(self.number) {
            Some(name) => writer.quoted(name),
            None => self.number.write(writer),
        }
    }
}

impl<E: Enumeration> Scalar for Named<E> {
    const EXPECTED: &'static str = "an enum value by name or number";

    fn from_number(number: Number) -> Option<Self> {
        i32::from_number(number).map(Self::new)
    }

    fn from_text(text: &str, options: ReadOptions) -> Option<Found<Self>> {
        match E::number(text) {
            Some(number) => Some(Found::Value(Self::new(number))),
            None if options.ignore_unknown => Some(Found::Unknown),
            None => None,
        }
    }

    fn from_canonical(walker: &mut Walker<'_>) -> Option<Self> {
        walker.enumeration(E::number).map(Self::new)
    }
}

//! `palomar observe`: what was typed, what it means, and running it.

pub(crate) mod args;
pub(crate) mod closing;
pub(crate) mod mask;
pub(crate) mod request;

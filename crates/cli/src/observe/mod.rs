//! `palomar observe`: what was typed, what it means, and running it.

pub(crate) mod args;
pub(crate) mod checked;
pub(crate) mod closing;
pub(crate) mod conditions;
pub(crate) mod explain;
pub(crate) mod mask;
pub(crate) mod record;
pub(crate) mod request;

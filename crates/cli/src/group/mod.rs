//! Flows in groups: how many there were of each, and how much traffic they report.
//!
//! In: flows, and the [`Field`]s that tell them apart. Out: [`Groups`], of which there are never more
//! than a limit; what comes after that is counted together.

mod args;
mod count;
mod ends;
mod field;
mod groups;
mod names;
mod observed;
mod path;

pub(crate) use args::{Form, GroupArgs, Grouping, Order, SECTION, interval};
pub(crate) use count::{Count, order};
pub(crate) use field::{Field, Fields};
pub(crate) use groups::{Groups, SEPARATOR, key};
pub(crate) use observed::Observed;

//! The fields of every message, generated from `proto/` when this crate is built.

#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    deprecated,
    unused_variables,
    reason = "generated; deprecated fields are part of the contract, and some messages are empty"
)]

use serde::de::Deserializer;

use super::{
    any::AnyType,
    canonical::Walker,
    enums::Enumeration,
    fields::Fields,
    read::{Entry, Found, FromJson, ReadFields, Reader, read_message},
    shape::{Field, Kind, Shape},
    write::{Object, WriteFields},
};

include!(concat!(env!("OUT_DIR"), "/json.rs"));

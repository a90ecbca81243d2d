//! The fields of every message, generated from `proto/` when this crate is built.

#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    deprecated,
    unused_variables,
    reason = "generated; deprecated fields are part of the contract, and some messages are empty"
)]

use serde::de::{Deserializer, MapAccess};

use super::{
    any::AnyType,
    enums::Enumeration,
    read::{Entry, Found, FromJson, ReadFields, Reader, read_message},
    write::{Object, WriteFields},
};

include!(concat!(env!("OUT_DIR"), "/json.rs"));

//! The rules of filtering, asked of whole filters: what each field means, how fields and lists
//! combine, what is refused, and that views agree.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod composition;
mod endpoint_fields;
mod errors;
mod flows;
mod l7_fields;
mod many;
mod other_events;
mod packet_fields;
mod record;
mod views;

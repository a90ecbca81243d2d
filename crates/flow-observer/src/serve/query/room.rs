//! Filters of requests, and the room for those of all clients together.
//!
//! In: the lists of a request. Out: its [`Filter`], with a permit for what its regular expressions
//! take, to be kept as long as the filter.

use flow_api::flow::FlowFilter;
use flow_filter::{Filter, FilterError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::{Code, Status};

/// What the regular expressions of all open requests may take, in KiB: eight requests of the largest
/// filters, or thousands of ordinary ones.
const ALL_KIB: usize = 256 << 10;

static ROOM: Semaphore = Semaphore::const_new(ALL_KIB);

/// Compiles the lists of a request.
pub(super) fn compile(
    allow: &[FlowFilter],
    deny: &[FlowFilter],
) -> Result<(Filter, SemaphorePermit<'static>), Status> {
    compile_in(&ROOM, allow, deny)
}

fn compile_in<'r>(
    room: &'r Semaphore,
    allow: &[FlowFilter],
    deny: &[FlowFilter],
) -> Result<(Filter, SemaphorePermit<'r>), Status> {
    let filter = Filter::compile(allow, deny).map_err(refusal)?;
    let kib = u32::try_from(filter.regexp_bytes().div_ceil(1024)).unwrap_or(u32::MAX);
    let permit = room.try_acquire_many(kib).map_err(|_full| {
        Status::resource_exhausted(format!(
            "the regular expressions of these filters would take {kib} KiB beside those of other \
             calls, and {} KiB are left: ask for fewer, or later",
            room.available_permits()
        ))
    })?;
    Ok((filter, permit))
}

fn refusal(error: FilterError) -> Status {
    let code = if error.is_too_much() {
        Code::ResourceExhausted
    } else {
        // As Hubble's server does.
        Code::Unknown
    };
    Status::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_filters_of_many_clients_find_no_room_until_one_goes() {
        let all = Semaphore::new(32 << 10);
        let large = FlowFilter {
            dns_query: vec!["[^/]{1,1000}".to_owned(); 10],
            ..FlowFilter::default()
        };
        let mut taken = Vec::new();
        let status = loop {
            match compile_in(&all, std::slice::from_ref(&large), &[]) {
                Ok((_, room)) => taken.push(room),
                Err(status) => break status,
            }
            assert!(taken.len() < 1000, "no bound");
        };
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(compile_in(&all, &[FlowFilter::default()], &[]).is_ok());
        taken.pop();
        assert!(compile_in(&all, &[large], &[]).is_ok());
    }
}

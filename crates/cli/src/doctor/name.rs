//! From a host's name to its addresses.

use std::{net::SocketAddr, time::Duration};

use super::report::{Failure, Step};
use crate::source::reason;

/// More addresses of one name than these are not tried: each may take the whole time.
const MAX_ADDRESSES: usize = 8;

/// The addresses of a host, as this machine resolves it.
pub(super) async fn addresses(
    host: &str,
    port: u16,
    patience: Duration,
) -> Result<Vec<SocketAddr>, Failure> {
    let failed = |cause| Failure::new(Step::Name, cause);
    let found = tokio::time::timeout(patience, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_elapsed| {
            failed(format!("no answer about {host} within {patience:?}"))
                .next("check this machine's name servers")
        })?
        .map_err(|error| {
            let text = reason(&error);
            let cause = text.rsplit(": ").next().unwrap_or_default().to_lowercase();
            failed(format!("{host} has no address: {cause}"))
                .next("check the name, or this machine's name servers")
        })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.take(MAX_ADDRESSES) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(failed(format!("{host} has no address")).next("check the name"));
    }
    Ok(addresses)
}

//! Waiting for a condition until a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How often a condition is looked at again: short beside anything worth waiting for, long enough
/// to leave the processor to those who are to make it true.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks at `condition` again and again until it yields a value.
///
/// # Errors
/// What `condition` returns as an error, at once; and after `timeout`, that `what` did not happen.
pub fn until<T>(
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {timeout:?}");
        }
        thread::sleep(INTERVAL);
    }
}

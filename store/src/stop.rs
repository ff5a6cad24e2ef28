//! Work that its caller may stop.

use std::time::Duration;

use crate::error::{Error, Result};

/// The time between two questions whether the work is to stop.
const TICK: Duration = Duration::from_millis(50);

/// Waits for `work`, or drops it once `stop` returns true.
///
/// # Errors
/// Those of the work; `Stopped`.
pub async fn until<T, E: From<Error>>(
    work: impl Future<Output = Result<T, E>>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<T, E> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(TICK, &mut work).await {
            Ok(done) => return done,
            Err(_) if stop() => return Err(Error::Stopped.into()),
            Err(_) => {}
        }
    }
}

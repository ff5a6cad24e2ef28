//! Turns at work that takes long: only some requests work at a time, and only some wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::errors::{Failure, Result};

/// The part of all requests that may wait for one kind of work, as a divisor, so that others are
/// still answered.
const WAITING: usize = 4;

/// The turns at one kind of work.
#[derive(Debug)]
pub(crate) struct Turns {
    turns: Arc<Semaphore>,
    line: Semaphore,
    queue: Duration,
}

impl Turns {
    /// Turns of which `most` are taken at a time, in a server that handles `requests` at a time and
    /// lets each wait for the time `queue`.
    pub(crate) fn new(most: usize, requests: usize, queue: Duration) -> Self {
        let line = Semaphore::new((requests / WAITING).max(1));
        Self { turns: Arc::new(Semaphore::new(most.max(1))), line, queue }
    }

    /// Takes a place among the requests that wait.
    ///
    /// # Errors
    /// `Busy` with the reason, if too many wait.
    pub(crate) fn place(&self, reason: &str) -> Result<SemaphorePermit<'_>> {
        self.line.try_acquire().map_err(|_| Failure::busy(reason))
    }

    /// Waits for a turn, which ends when the permit is dropped.
    ///
    /// # Errors
    /// `Busy` with the reason, if the turn does not come in time.
    pub(crate) async fn wait(&self, reason: &str) -> Result<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(self.queue, self.turns.clone().acquire_owned()).await;
        turn.ok().and_then(|turn| turn.ok()).ok_or_else(|| Failure::busy(reason))
    }

    /// Takes a turn if one is free, or else a place to wait for one.
    ///
    /// # Errors
    /// Those of [`place`](Self::place) and [`wait`](Self::wait).
    pub(crate) async fn take(&self, reason: &str) -> Result<OwnedSemaphorePermit> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Ok(turn);
        }
        let _place = self.place(reason)?;
        self.wait(reason).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_some_wait_and_not_for_ever() {
        let turns = Turns::new(1, WAITING, Duration::from_millis(50));
        let first = turns.take("busy").await.unwrap();
        let (second, third) = tokio::join!(turns.take("busy"), turns.take("busy"));
        assert!(second.is_err() && third.is_err());
        drop(first);
        assert!(turns.take("busy").await.is_ok());
    }

    #[tokio::test]
    async fn a_turn_goes_to_the_request_that_waits() {
        let turns = Turns::new(1, WAITING, Duration::from_secs(60));
        let held = turns.take("busy").await.unwrap();
        let release = async {
            let refused = turns.take("busy").await.is_err();
            drop(held);
            refused
        };
        let (second, refused) = tokio::join!(turns.take("busy"), release);
        assert!(second.is_ok() && refused);
    }
}

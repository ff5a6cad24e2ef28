//! Long computations that pause now and then, so that a host whose only thread runs them can do
//! other things between. They are asynchronous functions which wait for nothing but their own
//! pauses.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use crate::error::Result;
use crate::steps;

/// Turns of a loop between two pauses. A turn handles a tensor or a chunk, and takes a few
/// microseconds.
const TURNS: usize = 2048;

/// The turns of a computation since its last pause.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    turns: usize,
}

impl Pace {
    /// Counts a turn of a loop. To wait for the result pauses after enough of them.
    pub(crate) fn turn(&mut self) -> Pause {
        steps::add(1);
        self.turns += 1;
        if self.turns == TURNS { self.pause() } else { Pause { over: true } }
    }

    /// Pauses, before or after a part that takes long by itself.
    pub(crate) fn pause(&mut self) -> Pause {
        self.turns = 0;
        Pause { over: false }
    }
}

/// A pause, which is over when it is looked at again.
#[derive(Debug)]
pub(crate) struct Pause {
    over: bool,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.over, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A computation of a `T` that pauses.
pub(crate) struct Paced<T>(Pin<Box<dyn Future<Output = Result<T>> + Send + Sync>>);

impl<T> Paced<T> {
    pub(crate) fn new(work: impl Future<Output = Result<T>> + Send + Sync + 'static) -> Self {
        Self(Box::pin(work))
    }

    /// Goes on until the next pause. Returns the result at the end, after which there is no more to
    /// go on with.
    pub(crate) fn advance(&mut self) -> Result<Option<T>> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(Some),
            Poll::Pending => Ok(None),
        }
    }
}

impl<T> fmt::Debug for Paced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").finish_non_exhaustive()
    }
}

/// Runs a computation without pauses.
pub(crate) fn whole<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count(turns: usize) -> Result<usize> {
        let mut pace = Pace::default();
        for _ in 0..turns {
            pace.turn().await;
        }
        Ok(turns)
    }

    #[test]
    fn pauses_after_so_many_turns() {
        let mut work = Paced::new(count(3 * TURNS + 1));
        let mut pauses = 0;
        let counted = loop {
            let (advanced, steps) = steps::count(|| work.advance().unwrap());
            assert!(steps <= TURNS as u64);
            match advanced {
                Some(counted) => break counted,
                None => pauses += 1,
            }
        };
        assert_eq!((counted, pauses), (3 * TURNS + 1, 3));
        assert_eq!(whole(count(3 * TURNS)).unwrap(), 3 * TURNS);
    }
}

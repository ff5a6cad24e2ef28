//! Turns: a way for parallel threads to hand over their results in order.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A value that several threads use one after the other, in the order of numbered turns.
pub struct Turns<T, E> {
    state: Mutex<State<T, E>>,
    changed: Condvar,
}

struct State<T, E> {
    shared: T,
    /// The number of the current turn.
    turn: usize,
    /// The result that ended the turns early: the failure of a turn, or `Ok` after a panic.
    ended: Option<Result<(), E>>,
}

impl<T, E> Turns<T, E> {
    /// Wraps `shared`, with turn 0 next.
    pub fn new(shared: T) -> Self {
        Self { state: Mutex::new(State { shared, turn: 0, ended: None }), changed: Condvar::new() }
    }

    /// Waits for turn `number` and calls `action` in it. Returns `false` if no more turns follow,
    /// because an action failed or a thread panicked.
    pub fn take(&self, number: usize, action: impl FnOnce(&mut T) -> Result<(), E>) -> bool {
        let waiting = |state: &mut State<T, E>| state.ended.is_none() && state.turn != number;
        let mut state = self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        if state.ended.is_some() {
            return false;
        }
        match action(&mut state.shared) {
            Ok(()) => state.turn += 1,
            Err(error) => state.ended = Some(Err(error)),
        }
        self.changed.notify_all();
        state.ended.is_none()
    }

    /// Returns a guard that each thread must hold while it takes turns. If the thread panics, the
    /// guard ends the turns, so that no other thread waits for ever.
    pub fn join(&self) -> Participant<'_, T, E> {
        Participant(self)
    }

    /// Returns the failure that ended the turns, if there was one.
    pub fn end(self) -> Result<(), E> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).ended.unwrap_or(Ok(()))
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guard of a thread that takes turns.
pub struct Participant<'a, T, E>(&'a Turns<T, E>);

impl<T, E> Drop for Participant<'_, T, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().ended.get_or_insert(Ok(()));
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Lets 4 threads take 20 turns in total, and call `action` in each.
    fn take_all(turns: &Turns<Vec<usize>, usize>, action: impl Fn(usize) -> Result<(), usize> + Sync) {
        let action = &action;
        thread::scope(|scope| {
            for first in 0..4 {
                scope.spawn(move || {
                    let _participant = turns.join();
                    for number in (first..20).step_by(4) {
                        if !turns.take(number, |seen| action(number).map(|()| seen.push(number))) {
                            return;
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn turns_are_taken_in_order() {
        let turns = Turns::new(Vec::new());
        take_all(&turns, |_| Ok(()));
        assert_eq!(turns.lock().shared, (0..20).collect::<Vec<_>>());
        assert_eq!(turns.end(), Ok(()));
    }

    #[test]
    fn a_failure_ends_the_turns() {
        let turns = Turns::new(Vec::new());
        take_all(&turns, |number| if number < 7 { Ok(()) } else { Err(number) });
        assert_eq!(turns.lock().shared, (0..7).collect::<Vec<_>>());
        assert_eq!(turns.end(), Err(7));
    }

    #[test]
    fn a_panic_ends_the_turns() {
        let turns = Turns::new(Vec::new());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            take_all(&turns, |number| if number < 7 { Ok(()) } else { panic!("on purpose") });
        }));
        assert!(panicked.is_err());
        assert_eq!(turns.lock().shared, (0..7).collect::<Vec<_>>());
    }
}

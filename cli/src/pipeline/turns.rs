//! Threads that take turns: what they do side by side is put in order again.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Something that is used by one thread after the other, each in its turn.
pub struct Turns<T, E> {
    state: Mutex<State<T, E>>,
    changed: Condvar,
}

struct State<T, E> {
    shared: T,
    /// Whose turn it is.
    turn: usize,
    /// Of the turn that failed; nobody has one after it.
    ended: Option<Result<(), E>>,
}

impl<T, E> Turns<T, E> {
    pub fn new(shared: T) -> Self {
        Self { state: Mutex::new(State { shared, turn: 0, ended: None }), changed: Condvar::new() }
    }

    /// Waits for the turn of `number` and uses it; whether there are more turns.
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

    /// To be held by each thread: should it panic, the others wait for no turn of it.
    pub fn join(&self) -> Participant<'_, T, E> {
        Participant(self)
    }

    /// The failure, if there was one.
    pub fn end(self) -> Result<(), E> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).ended.unwrap_or(Ok(()))
    }

    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that takes turns.
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

    /// What 4 threads did in 20 turns, each its own, where `action` is done in each.
    fn done(turns: &Turns<Vec<usize>, usize>, action: impl Fn(usize) -> Result<(), usize> + Sync) {
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
    fn turns_come_in_order() {
        let turns = Turns::new(Vec::new());
        done(&turns, |_| Ok(()));
        assert_eq!(turns.lock().shared, (0..20).collect::<Vec<_>>());
        assert_eq!(turns.end(), Ok(()));
    }

    #[test]
    fn nobody_has_a_turn_after_a_failure() {
        let turns = Turns::new(Vec::new());
        done(&turns, |number| if number < 7 { Ok(()) } else { Err(number) });
        assert_eq!(turns.lock().shared, (0..7).collect::<Vec<_>>());
        assert_eq!(turns.end(), Err(7));
    }

    #[test]
    fn nobody_waits_for_a_thread_that_panicked() {
        let turns = Turns::new(Vec::new());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            done(&turns, |number| if number < 7 { Ok(()) } else { panic!("on purpose") });
        }));
        assert!(panicked.is_err());
        assert_eq!(turns.lock().shared, (0..7).collect::<Vec<_>>());
    }
}

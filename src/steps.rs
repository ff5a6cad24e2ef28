//! The number of steps that loops over inputs take, for tests that bound them without a clock.
//!
//! A *step* is a field that is read, or one turn of a loop whose number of turns an input decides.
//! Builds without debug assertions count nothing.

use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// Adds steps to those of this thread.
#[inline]
pub(crate) fn add(steps: usize) {
    if cfg!(debug_assertions) {
        TAKEN.set(TAKEN.get().saturating_add(steps as u64));
    }
}

/// Calls `f`, and returns its result and the steps that this thread took meanwhile.
pub fn count<R>(f: impl FnOnce() -> R) -> (R, u64) {
    let before = TAKEN.get();
    let result = f();
    (result, TAKEN.get() - before)
}

//! Injected parallelism: the core splits work into tasks, and a [`Runner`] spreads them over
//! threads.

#[cfg(feature = "rayon")]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Runs independent tasks on one or more threads.
pub trait Runner: Sync {
    /// Calls `task` once for each number in `0..count`, and returns when all calls have returned.
    /// The calls start in this order.
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync));

    /// The number of tasks that can run at the same time.
    fn threads(&self) -> usize;
}

/// Runs every task on the calling thread, in order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sequential;

impl Runner for Sequential {
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(task);
    }

    fn threads(&self) -> usize {
        1
    }
}

/// Runs tasks on rayon's current pool: the one that the caller runs in, or else the global one.
#[cfg(feature = "rayon")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Rayon;

#[cfg(feature = "rayon")]
impl Runner for Rayon {
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        // A shared counter, rather than rayon's own splitting, starts the tasks in their order.
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                match next.fetch_add(1, Ordering::Relaxed) {
                    i if i < count => task(i),
                    _ => break,
                }
            }
        };
        rayon::scope(|scope| (0..self.threads().min(count)).for_each(|_| scope.spawn(|_| work())));
    }

    fn threads(&self) -> usize {
        rayon::current_num_threads()
    }
}

/// Maps `items` with `f` on `runner`. The items of the largest `cost` start first, so that no long
/// task is left for the end. The results have the order of `items`.
pub(crate) fn map_by_cost<T: Send, R: Send>(
    runner: &dyn Runner,
    items: Vec<T>,
    cost: impl Fn(&T) -> u64,
    f: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_cached_key(|&i| (u64::MAX - cost(&items[i]), 0u64));
    let slots: Vec<Mutex<(Option<T>, Option<R>)>> = items.into_iter().map(|t| Mutex::new((Some(t), None))).collect();
    runner.run(slots.len(), &|i| {
        let mut slot = slots[order[i]].lock().unwrap_or_else(PoisonError::into_inner);
        slot.1 = slot.0.take().map(&f);
    });
    slots.into_iter().filter_map(|s| s.into_inner().unwrap_or_else(PoisonError::into_inner).1).collect()
}

/// A pool of scratch memory for tasks. It never holds more than one `T` per task that runs at the
/// same time.
#[derive(Debug, Default)]
pub(crate) struct Scratch<T>(Mutex<Vec<T>>);

impl<T: Default> Scratch<T> {
    /// Calls `f` with the scratch memory that an earlier task left, or with new memory.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = spare.unwrap_or_default();
        let result = f(&mut scratch);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results_keep_order(runner: &dyn Runner) {
        let items: Vec<u64> = (0..1000).map(|i| i * 7919 % 1000).collect();
        let want: Vec<u64> = items.iter().map(|i| i + 1).collect();
        assert_eq!(map_by_cost(runner, items, |i| *i, |i| i + 1), want);
    }

    #[test]
    fn sequential_keeps_order() {
        results_keep_order(&Sequential);
    }

    #[cfg(all(feature = "rayon", not(target_arch = "wasm32")))]
    #[test]
    fn rayon_keeps_order() {
        results_keep_order(&Rayon);
    }
}

//! A runner whose threads live as long as one call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bitx::parallel::Runner;

/// Runs tasks on up to so many threads, which it starts for each call. A pool would lose its
/// threads in a process that is forked, and then wait for them for ever.
#[derive(Debug, Clone, Copy)]
pub struct Threads(pub usize);

impl Runner for Threads {
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < count) {
                task(i);
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.0.min(count) {
                scope.spawn(work);
            }
            work();
        });
    }

    fn threads(&self) -> usize {
        self.0.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for (threads, count) in [(0, 3), (1, 5), (4, 1000), (8, 2), (3, 0)] {
            let ran: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            Threads(threads).run(count, &|i| {
                ran[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(ran.iter().all(|ran| ran.load(Ordering::Relaxed) == 1), "{threads} threads, {count} tasks");
        }
    }
}

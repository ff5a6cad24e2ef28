//! Two ways to run an open job, with reading, computing and writing in parallel.
//!
//! [`restore`] runs many windows at once, each on one thread; it is the faster way, for shared
//! restores. [`drive`] runs one window after the other, each on all threads, and serves every job.

mod at_once;
mod in_turn;
mod turns;

pub use at_once::{Supply, restore};
pub use in_turn::drive;

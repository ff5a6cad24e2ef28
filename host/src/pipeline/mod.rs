//! Running an open job with reading, computing and writing side by side.

mod at_once;
mod in_turn;
mod turns;

pub use at_once::{Supply, restore};
pub use in_turn::drive;

//! Driving a job over files with reading, computing and writing side by side.

pub mod at_once;
pub mod in_turn;
mod turns;

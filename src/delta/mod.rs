//! Element transforms between a base and a target.

pub mod xor_split;

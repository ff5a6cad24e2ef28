//! Element transforms between a base and a target.

pub(crate) mod context;
pub(crate) mod scale;
pub(crate) mod word;
pub mod xor_split;

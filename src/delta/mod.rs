//! Transforms of elements between a base and a target, and the contexts of their deltas.

pub(crate) mod apply;
pub(crate) mod context;
pub(crate) mod prefetch;
pub(crate) mod scale;
pub(crate) mod word;
pub mod xor_split;

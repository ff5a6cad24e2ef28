//! The routes that read: files, tensors, deltas, listings, and the plan of a pull.

pub(crate) mod batch;
pub(crate) mod delta;
pub(crate) mod files;
pub(crate) mod models;
pub(crate) mod pull;
pub(crate) mod range;
mod tensor;

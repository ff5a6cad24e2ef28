//! What is read.

pub(crate) mod batch;
pub(crate) mod delta;
pub(crate) mod files;
pub(crate) mod models;
pub(crate) mod pull;
pub(crate) mod range;
mod tensor;

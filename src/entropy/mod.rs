//! Entropy coding: turns symbols in contexts into bytes, and back.

pub(crate) mod bins;
pub(crate) mod bits;
pub(crate) mod bytes64;
pub(crate) mod cluster;
pub(crate) mod frequency;
pub(crate) mod log2;
pub(crate) mod lookup;
pub(crate) mod rans;
pub mod zstd;

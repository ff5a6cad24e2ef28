//! Entropy coding of streams.

pub mod zstd;

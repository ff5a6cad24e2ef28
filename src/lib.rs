#![doc = include_str!("../README.md")]

mod adapter;
mod archive;
mod arranged;
mod bytes;
mod cast;
mod chunk;
mod decode;
mod delta;
mod derived;
pub mod distance;
pub mod drive;
mod encode;
mod entropy;
mod error;
pub mod folder;
pub mod io;
mod job;
mod json;
pub mod layout;
mod merge;
mod pace;
mod packed;
mod pairing;
pub mod parallel;
pub mod plan;
mod predict;
mod quant;
pub mod quoted;
pub mod report;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[doc(hidden)]
pub mod steps;
mod transposed;
mod unpacked;
mod view;
mod window;
mod zigzag;

pub use adapter::Merge;
pub use decode::{Inspect, Restore};
pub use encode::{Compress, Effort, Format, PackedSet};
pub use error::{Error, ErrorKind, Result};
pub use job::Job;

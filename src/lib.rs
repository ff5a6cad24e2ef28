#![doc = include_str!("../README.md")]

pub mod archive;
mod bytes;
mod chunk;
pub mod decode;
pub mod delta;
pub mod distance;
pub mod drive;
pub mod encode;
pub mod entropy;
mod error;
pub mod io;
pub mod job;
pub mod layout;
pub mod parallel;
pub mod plan;
mod predict;
pub mod report;
mod window;
mod zigzag;

pub use decode::{Inspect, Restore};
pub use encode::{Compress, Effort, Format};
pub use error::{Error, ErrorKind, Result};
pub use job::Job;

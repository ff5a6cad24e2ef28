//! The parts that native hosts of the core share: the command line, the store and the server.
//!
//! - [`InputFile`]: a file that is read by position, from any thread.
//! - [`pipeline`]: two ways to run the windows of a job, with reading, computing and writing side by side.
//! - [`WholeFile`]: output that appears under its name when it is complete, or not at all.

mod file;
mod output;
pub mod pipeline;

pub use file::InputFile;
pub use output::WholeFile;

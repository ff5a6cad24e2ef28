//! The parts that native hosts of the core share: the command line, the store and the server.
//!
//! - [`InputFile`]: an input file or a pipe, read at any offset from any thread, and watched for
//!   changes.
//! - [`pipeline`]: two ways to run the windows of a job, with reading, computing and writing in
//!   parallel.
//! - [`Restored`]: the output of an archive, read by position.
//! - [`Stop`]: the wish to stop, and inputs, runners and writers that ask for it.
//! - [`WholeFile`] and [`WholeFolder`]: outputs that appear when they are complete, or not at all.

mod bases;
mod file;
mod folder;
mod output;
pub mod pipeline;
mod restored;
mod stop;
mod threads;

pub use bases::{digest, order};
pub use file::InputFile;
pub use folder::WholeFolder;
pub use output::WholeFile;
pub use restored::{Restored, Shared};
pub use stop::{Stop, Stoppable, StoppableWriter, stoppable};
pub use threads::Threads;

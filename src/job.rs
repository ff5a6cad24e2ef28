//! A computation over inputs that it never reads itself.
//!
//! Restoring, compressing and inspecting are all one [`Job`]: first it opens (it [wants](Job::wants)
//! ranges until its plan is made), then it runs windows, each from the bytes that [`Job::reads`]
//! names to the bytes that it appends to the output. A host decides how ranges are read, where output
//! goes, and, between windows, whether to go on. [`drive`](crate::drive) is the synchronous host.

use crate::error::Result;
use crate::io::{Inputs, Read};
use crate::parallel::Runner;
use crate::report::Report;

/// See the [module](self).
pub trait Job {
    /// The range to [`feed`](Self::feed) next; `None` once the plan is made.
    fn wants(&self) -> Option<Read>;

    /// Takes exactly the bytes that [`wants`](Self::wants) named.
    ///
    /// # Errors
    /// Whatever is wrong with the inputs' headers, with each other, or with this format.
    fn feed(&mut self, bytes: &[u8]) -> Result<()>;

    /// Number of windows, known once nothing is wanted. They run in order.
    fn windows(&self) -> usize;

    /// Length of the output in bytes, where it is known beforehand.
    fn output_length(&self) -> Option<u64>;

    /// Bytes of the model (restored, or compressed) that are done when windows `0..count` are.
    fn progress(&self, count: usize) -> u64;

    /// The ranges that `window` needs.
    fn reads(&self, window: usize) -> Vec<Read>;

    /// Computes `window`, replacing what `output` holds by the bytes it appends to the output.
    ///
    /// # Errors
    /// What opening could not see: streams that do not decode. Nothing of `output` may be used then.
    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()>;

    /// What the archive holds, per tensor: known after opening, or for a compression when it is done.
    fn report(&self) -> Report;
}

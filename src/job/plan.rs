//! The computations behind a job: what it opens from, and what it then runs.

use crate::error::{Error, Result};
use crate::io::{Inputs, Read};
use crate::parallel::Runner;
use crate::report::Report;

/// A job that reads the headers of its inputs until it can make a plan.
pub(crate) trait Opening: Send {
    /// The range to take next; `None` once the plan can be made.
    fn wants(&self) -> Option<Read>;
    /// Takes the bytes that [`wants`](Self::wants) named.
    fn take(&mut self, bytes: &[u8]) -> Result<()>;
    /// Goes on with them for a short time; `true` if this must be called again before anything
    /// else is.
    fn advance(&mut self) -> Result<bool> {
        Ok(false)
    }
    /// The faults of the inputs that are no errors, once nothing is wanted.
    fn warnings(&mut self) -> Vec<Error> {
        Vec::new()
    }
    /// The plan, once nothing is wanted.
    fn plan(self: Box<Self>) -> Result<Box<dyn Plan>>;
}

/// Everything that an open job knows. Its methods are those of [`Job`](super::Job).
pub(crate) trait Plan: Send {
    fn windows(&self) -> usize;
    fn output_length(&self) -> Option<u64>;
    fn progress(&self, count: usize) -> u64;
    fn reads(&self, window: usize) -> Vec<Read>;
    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()>;
    /// Plans that are not shared check everything while they run.
    fn check(&mut self, _window: usize, _inputs: &Inputs) -> Result<()> {
        Ok(())
    }
    /// The part of a plan whose windows several jobs may code apart from each other.
    fn apart(&mut self) -> Option<&mut dyn Apart> {
        None
    }
    /// A further job for the same windows, where several may share them.
    fn sibling(&self) -> Option<Box<dyn Plan>> {
        None
    }
    fn report(&self) -> Report;
}

/// A plan whose windows several jobs may code apart from each other. Its methods are those of
/// [`Job`](super::Job).
pub(crate) trait Apart {
    fn search(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner) -> Result<Option<Vec<u8>>>;
    fn code(
        &mut self,
        window: usize,
        inputs: &Inputs,
        carried: &[u8],
        runner: &dyn Runner,
        coded: &mut Vec<u8>,
    ) -> Result<()>;
    fn digest(&mut self, window: usize, inputs: &Inputs) -> Result<()>;
    fn join(&mut self, window: usize, coded: &[u8], output: &mut Vec<u8>) -> Result<()>;
}

//! A computation over inputs that it never reads itself.
//!
//! Restoring, compressing and inspecting are all one [`Job`]: first it opens (it [wants](Job::wants)
//! ranges until its plan is made), then it runs windows, each from the bytes that [`Job::reads`]
//! names to the bytes that it appends to the output. A host decides how ranges are read, where output
//! goes, and, between windows, whether to go on. [`drive`](crate::drive) is the synchronous host.

use std::fmt;

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

    /// Number of windows, known once nothing is wanted. They run in order, unless several jobs
    /// [share](crate::Restore::shared) them.
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

    /// What the windows of a [shared](crate::Restore::shared) restore cannot tell: whether the archive as a whole is
    /// sound. To be called by one job with each window in order, whoever runs it. Of `inputs`, the ranges of the archive
    /// must be filled. No output of the last window counts before this returns.
    ///
    /// # Errors
    /// With the last window, where the archive has another digest than it says.
    fn check(&mut self, window: usize, inputs: &Inputs) -> Result<()>;

    /// What the archive holds, per tensor: known after opening, or for a compression when it is done.
    fn report(&self) -> Report;
}

/// An opened job: what is left of a [`Job`] once nothing is wanted. Its methods are those of [`Job`].
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
    /// A further job for the same windows, where several may share them.
    fn sibling(&self) -> Option<Box<dyn Plan>> {
        None
    }
    fn report(&self) -> Report;
}

/// The state of every job: opening, then a plan.
pub(crate) enum State<Opening> {
    Opening(Opening),
    Ready(Box<dyn Plan>),
    /// An earlier step failed.
    Failed,
}

/// What opens into a plan.
pub(crate) trait Opening: Sized {
    /// See [`Job::wants`].
    fn wants(&self) -> Option<Read>;
    /// See [`Job::feed`].
    fn feed(&mut self, bytes: &[u8]) -> Result<()>;
    /// The plan, once nothing is wanted.
    fn plan(self) -> Result<Box<dyn Plan>>;
}

impl<O: Opening> State<O> {
    /// See [`Plan::sibling`].
    pub(crate) fn sibling(&self) -> Option<Self> {
        self.plan()?.sibling().map(Self::Ready)
    }

    fn plan(&self) -> Option<&dyn Plan> {
        match self {
            Self::Ready(plan) => Some(plan.as_ref()),
            _ => None,
        }
    }
}

/// Names the state and not all that it holds: that would link the formatting of every part into the wasm.
impl<O> fmt::Debug for State<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening(_) => "Opening",
            Self::Ready(_) => "Ready",
            Self::Failed => "Failed",
        })
    }
}

impl<O: Opening> Job for State<O> {
    fn wants(&self) -> Option<Read> {
        match self {
            Self::Opening(opening) => opening.wants(),
            _ => None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        *self = match std::mem::replace(self, Self::Failed) {
            Self::Opening(mut opening) => {
                opening.feed(bytes)?;
                match opening.wants() {
                    Some(_) => Self::Opening(opening),
                    None => Self::Ready(opening.plan()?),
                }
            }
            other => other,
        };
        Ok(())
    }

    fn windows(&self) -> usize {
        self.plan().map_or(0, Plan::windows)
    }

    fn output_length(&self) -> Option<u64> {
        self.plan().and_then(Plan::output_length)
    }

    fn progress(&self, count: usize) -> u64 {
        self.plan().map_or(0, |plan| plan.progress(count))
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        self.plan().map_or_else(Vec::new, |plan| plan.reads(window))
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Ready(plan) => plan.run(window, inputs, runner, output),
            _ => {
                output.clear();
                Ok(())
            }
        }
    }

    fn check(&mut self, window: usize, inputs: &Inputs) -> Result<()> {
        match self {
            Self::Ready(plan) => plan.check(window, inputs),
            _ => Ok(()),
        }
    }

    fn report(&self) -> Report {
        self.plan().map_or_else(Report::default, Plan::report)
    }
}

/// Implements [`Job`] for a struct by its field `state`.
macro_rules! job_by_state {
    ($type:ty) => {
        impl $crate::job::Job for $type {
            fn wants(&self) -> Option<$crate::io::Read> {
                self.state.wants()
            }

            fn feed(&mut self, bytes: &[u8]) -> $crate::error::Result<()> {
                self.state.feed(bytes)
            }

            fn windows(&self) -> usize {
                self.state.windows()
            }

            fn output_length(&self) -> Option<u64> {
                self.state.output_length()
            }

            fn progress(&self, count: usize) -> u64 {
                self.state.progress(count)
            }

            fn reads(&self, window: usize) -> Vec<$crate::io::Read> {
                self.state.reads(window)
            }

            fn run(
                &mut self,
                window: usize,
                inputs: &$crate::io::Inputs,
                runner: &dyn $crate::parallel::Runner,
                output: &mut Vec<u8>,
            ) -> $crate::error::Result<()> {
                self.state.run(window, inputs, runner, output)
            }

            fn check(&mut self, window: usize, inputs: &$crate::io::Inputs) -> $crate::error::Result<()> {
                self.state.check(window, inputs)
            }

            fn report(&self) -> $crate::report::Report {
                self.state.report()
            }
        }
    };
}
pub(crate) use job_by_state;

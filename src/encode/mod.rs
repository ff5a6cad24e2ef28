//! Compressing: base and target in, an archive out.

mod v1;

use crate::entropy::zstd;
use crate::error::Result;
use crate::io::{Incremental, Inputs, Read, Source};
use crate::job::Job;
use crate::layout::safetensors::HeaderReader;
use crate::parallel::Runner;
use crate::report::Report;

/// The format of the archive, with its knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// BITXv001, which the reference command line reads.
    V1 {
        /// zstd level, one of [`zstd::LEVELS`].
        level: i32,
    },
}

impl Default for Format {
    fn default() -> Self {
        Self::V1 { level: zstd::DEFAULT_LEVEL }
    }
}

/// A [`Job`] that compresses a target against a base.
#[derive(Debug)]
pub struct Compress {
    state: State,
}

#[derive(Debug)]
enum State {
    Opening {
        level: i32,
        base: HeaderReader,
        target: HeaderReader,
    },
    Ready(v1::Plan),
    /// An earlier step failed.
    Failed,
}

impl Compress {
    /// A job over a base and a target of these lengths, in bytes.
    ///
    /// # Errors
    /// `InvalidArgument` for a level that does not exist.
    pub fn new(base_length: u64, target_length: u64, format: Format) -> Result<Self> {
        let Format::V1 { level } = format;
        zstd::check_level(level)?;
        let (base, target) = (HeaderReader::new(base_length), HeaderReader::new(target_length));
        Ok(Self { state: State::Opening { level, base, target } })
    }

    fn plan(&self) -> Option<&v1::Plan> {
        match &self.state {
            State::Ready(plan) => Some(plan),
            _ => None,
        }
    }
}

impl Job for Compress {
    fn wants(&self) -> Option<Read> {
        let State::Opening { base, target, .. } = &self.state else { return None };
        let target = target.wants().map(|range| Read::new(Source::Target, range));
        target.or_else(|| base.wants().map(|range| Read::new(Source::Base, range)))
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let State::Opening { level, mut base, mut target } = std::mem::replace(&mut self.state, State::Failed) else {
            return Ok(());
        };
        match target.wants() {
            Some(_) => target.feed(bytes).map_err(|e| e.input(Source::Target))?,
            None => base.feed(bytes).map_err(|e| e.input(Source::Base))?,
        }
        self.state = if base.wants().is_some() {
            State::Opening { level, base, target }
        } else {
            let (target, header) = target.finish();
            State::Ready(v1::Plan::new(target, header, &base.finish().0, level)?)
        };
        Ok(())
    }

    fn windows(&self) -> usize {
        self.plan().map_or(0, v1::Plan::windows)
    }

    fn output_length(&self) -> Option<u64> {
        None
    }

    fn progress(&self, count: usize) -> u64 {
        self.plan().map_or(0, |plan| plan.target_end(count))
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        self.plan().map_or_else(Vec::new, |plan| plan.reads(window))
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        output.clear();
        match &mut self.state {
            State::Ready(plan) => plan.run(window, inputs, runner, output),
            _ => Ok(()),
        }
    }

    fn report(&self) -> Report {
        self.plan().map_or_else(Report::default, v1::Plan::report)
    }
}

//! Restoring: archive and base in, the target's bytes out.

mod v1;

use crate::archive::v1::{Index, IndexReader};
use crate::error::Result;
use crate::io::{Incremental, Inputs, Read, Source};
use crate::job::Job;
use crate::layout::safetensors::HeaderReader;
use crate::parallel::Runner;
use crate::report::Report;

/// A [`Job`] that restores the target of an archive, given its base.
#[derive(Debug)]
pub struct Restore {
    state: State,
}

#[derive(Debug)]
enum State {
    Index {
        reader: IndexReader,
        base_length: u64,
    },
    Base {
        index: Index,
        reader: HeaderReader,
    },
    Ready(v1::Plan),
    /// An earlier step failed.
    Failed,
}

impl Restore {
    /// A job over a base and an archive of these lengths, in bytes.
    pub fn new(base_length: u64, archive_length: u64) -> Self {
        Self { state: State::Index { reader: IndexReader::new(archive_length), base_length } }
    }

    fn plan(&self) -> Option<&v1::Plan> {
        match &self.state {
            State::Ready(plan) => Some(plan),
            _ => None,
        }
    }

    /// Moves on where the current reader has all it wants.
    fn advance(&mut self) -> Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Index { reader, base_length } if reader.wants().is_none() => {
                State::Base { index: reader.finish(), reader: HeaderReader::new(base_length) }
            }
            State::Base { index, reader } if reader.wants().is_none() => {
                State::Ready(v1::Plan::new(index, &reader.finish().0)?)
            }
            other => other,
        };
        Ok(())
    }
}

impl Job for Restore {
    fn wants(&self) -> Option<Read> {
        match &self.state {
            State::Index { reader, .. } => reader.wants().map(|range| Read::new(Source::Delta, range)),
            State::Base { reader, .. } => reader.wants().map(|range| Read::new(Source::Base, range)),
            State::Ready(_) | State::Failed => None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.state {
            State::Index { reader, .. } => reader.feed(bytes).map_err(|e| e.input(Source::Delta))?,
            State::Base { reader, .. } => reader.feed(bytes).map_err(|e| e.input(Source::Base))?,
            State::Ready(_) | State::Failed => {}
        }
        self.advance()
    }

    fn windows(&self) -> usize {
        self.plan().map_or(0, v1::Plan::windows)
    }

    fn output_length(&self) -> Option<u64> {
        self.plan().map(v1::Plan::output_length)
    }

    fn progress(&self, count: usize) -> u64 {
        self.plan().map_or(0, |plan| plan.output_end(count))
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        self.plan().map_or_else(Vec::new, |plan| plan.reads(window))
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        output.clear();
        self.plan().map_or(Ok(()), |plan| plan.run(window, inputs, runner, output))
    }

    fn report(&self) -> Report {
        match &self.state {
            State::Ready(plan) => v1::report(plan.index()),
            State::Base { index, .. } => v1::report(index),
            State::Index { .. } | State::Failed => Report::default(),
        }
    }
}

/// A [`Job`] that only opens an archive, for its [report](Job::report): it has no windows.
#[derive(Debug)]
pub struct Inspect {
    state: InspectState,
}

#[derive(Debug)]
enum InspectState {
    Reading(IndexReader),
    Done(Index),
    Failed,
}

impl Inspect {
    /// A job over an archive of that length, in bytes.
    pub fn new(archive_length: u64) -> Self {
        Self { state: InspectState::Reading(IndexReader::new(archive_length)) }
    }
}

impl Job for Inspect {
    fn wants(&self) -> Option<Read> {
        match &self.state {
            InspectState::Reading(reader) => reader.wants().map(|range| Read::new(Source::Delta, range)),
            _ => None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.state = match std::mem::replace(&mut self.state, InspectState::Failed) {
            InspectState::Reading(mut reader) => {
                reader.feed(bytes).map_err(|e| e.input(Source::Delta))?;
                match reader.wants() {
                    Some(_) => InspectState::Reading(reader),
                    None => InspectState::Done(reader.finish()),
                }
            }
            other => other,
        };
        Ok(())
    }

    fn windows(&self) -> usize {
        0
    }

    fn output_length(&self) -> Option<u64> {
        Some(self.report().restored_bytes)
    }

    fn progress(&self, _: usize) -> u64 {
        0
    }

    fn reads(&self, _: usize) -> Vec<Read> {
        Vec::new()
    }

    fn run(&mut self, _: usize, _: &Inputs, _: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        output.clear();
        Ok(())
    }

    fn report(&self) -> Report {
        match &self.state {
            InspectState::Done(index) => v1::report(index),
            _ => Report::default(),
        }
    }
}

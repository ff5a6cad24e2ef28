//! Restoring: archive and base in, the target's bytes out.

mod inspect;
mod v1;
mod v2;

pub use inspect::Inspect;
pub(crate) use v2::{base_reports, tensor_reports};

use crate::archive::{Archive, ArchiveReader};
use crate::error::{Error, Result};
use crate::io::{Incremental, Read, Source};
use crate::job::{Opening, Plan, State, job_by_state};
use crate::layout::Kind;
use crate::layout::reader::{Accept, LayoutReader};
use crate::plan::BaseSet;
use crate::window;

/// A [`Job`](crate::Job) that restores the target of an archive, or one tensor of it, given its base.
#[derive(Debug)]
pub struct Restore {
    state: State<OpenRestore>,
}

impl Restore {
    /// A job over the base's files and an archive of these lengths, in bytes.
    pub fn new(base_lengths: &[u64], archive_length: u64) -> Self {
        Self::open(base_lengths, archive_length, None, Sharing::Alone)
    }

    /// A job that shares its windows with others over the same inputs: each may run any of them, in any order, and one
    /// of them [checks](crate::Job::check) the archive as a whole.
    pub fn shared(base_lengths: &[u64], archive_length: u64) -> Self {
        Self::open(base_lengths, archive_length, None, Sharing::Shared)
    }

    /// A job whose output is the bytes of one tensor; nothing else of the inputs is read.
    pub fn tensor(base_lengths: &[u64], archive_length: u64, name: &str) -> Self {
        Self::open(base_lengths, archive_length, Some(name.to_owned()), Sharing::Alone)
    }

    /// A further job for the windows of this one, which costs neither time nor memory; it checks nothing of the archive
    /// as a whole.
    ///
    /// # Errors
    /// `InvalidArgument` before this one is open, or where it is not [shared](Self::shared).
    pub fn sibling(&self) -> Result<Self> {
        let state =
            self.state.sibling().ok_or_else(|| Error::invalid_argument("only an open, shared restore has siblings"));
        state.map(|state| Self { state })
    }

    fn open(base_lengths: &[u64], archive_length: u64, only: Option<String>, sharing: Sharing) -> Self {
        let step = Step::Archive(ArchiveReader::new(archive_length));
        Self { state: State::Opening(OpenRestore { base_lengths: base_lengths.to_vec(), only, sharing, step }) }
    }
}

job_by_state!(Restore);

/// Who runs the windows of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// One job, in order.
    Alone,
    /// Several jobs.
    Shared,
}

impl Sharing {
    /// How many bytes a window covers at most, if it is `alone` for a job of its own.
    fn window(self, alone: u64) -> u64 {
        match self {
            Self::Alone => alone,
            Self::Shared => window::SHARED,
        }
    }
}

/// The archive's own description first, then the base's headers.
#[derive(Debug)]
struct OpenRestore {
    base_lengths: Vec<u64>,
    only: Option<String>,
    sharing: Sharing,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Archive(ArchiveReader),
    Bases { archive: Archive, readers: Vec<LayoutReader> },
    Failed,
}

impl OpenRestore {
    /// Readers of the base's files, as the archive needs them: files that it does not name are not read.
    fn base_readers(&self, archive: &Archive) -> Result<Vec<LayoutReader>> {
        let kinds = match archive {
            Archive::V1(_) => vec![Kind::Safetensors; self.base_lengths.len()],
            Archive::V2(directory) => directory.head.bases.iter().map(|base| base.kind).collect(),
        };
        let (expected, found) = (kinds.len(), self.base_lengths.len());
        if expected > found {
            return Err(Error::base_mismatch("the archive was made against more base files")
                .figures(expected, found)
                .input(Source::Base(0)));
        }
        let files = self.base_lengths.iter().zip(kinds);
        Ok(files.map(|(&length, kind)| LayoutReader::new(length, Accept::Only(kind))).collect())
    }
}

impl Opening for OpenRestore {
    fn wants(&self) -> Option<Read> {
        match &self.step {
            Step::Archive(reader) => reader.wants().map(|range| Read::new(Source::Delta, range)),
            Step::Bases { readers, .. } => {
                let next = readers.iter().enumerate().find_map(|(base, reader)| Some((base, reader.wants()?)));
                next.map(|(base, range)| Read::new(Source::Base(base), range))
            }
            Step::Failed => None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.step = match std::mem::replace(&mut self.step, Step::Failed) {
            Step::Archive(mut reader) => {
                reader.feed(bytes).map_err(|e| e.input(Source::Delta))?;
                match reader.wants() {
                    Some(_) => Step::Archive(reader),
                    None => {
                        let archive = reader.finish().ok_or_else(|| Error::truncated("the archive"))?;
                        let readers = self.base_readers(&archive)?;
                        Step::Bases { archive, readers }
                    }
                }
            }
            Step::Bases { archive, mut readers } => {
                if let Some((base, reader)) = readers.iter_mut().enumerate().find(|(_, r)| r.wants().is_some()) {
                    reader.feed(bytes).map_err(|e| e.input(Source::Base(base)))?;
                }
                Step::Bases { archive, readers }
            }
            Step::Failed => Step::Failed,
        };
        Ok(())
    }

    fn plan(self) -> Result<Box<dyn Plan>> {
        let Step::Bases { archive, readers } = self.step else {
            return Err(Error::invalid_argument("the job failed before"));
        };
        let bases = BaseSet::new(readers.into_iter().map(|reader| reader.finish().0).collect());
        let only = self.only.as_deref();
        Ok(match archive {
            Archive::V1(index) => Box::new(v1::Restore::new(index, &bases, only, self.sharing)?),
            Archive::V2(directory) => Box::new(v2::Restore::new(directory, &bases, only, self.sharing)?),
        })
    }
}

/// The error for a tensor that the archive does not have.
fn no_such_tensor(name: &str) -> Error {
    Error::invalid_argument("the archive has no such tensor").tensor(name).input(Source::Delta)
}

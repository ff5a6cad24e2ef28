//! Restores the target from an archive and its base.

mod bases;
mod inspect;
mod v1;
mod v2;

pub use inspect::Inspect;

use crate::archive::{Archive, ArchiveReader};
use crate::error::{Error, Result};
use crate::io::{Incremental, Read, Source};
use crate::job::{Job, Opening, Plan};
use crate::layout::Kind;
use crate::layout::reader::{Accept, LayoutReader};
use crate::plan::BaseSet;
use crate::window;

/// The settings of a [`Job`] that restores the target of an archive, or one tensor of it, from the
/// archive and its base.
#[derive(Debug, Clone)]
pub struct Restore {
    base_lengths: Vec<u64>,
    archive_length: u64,
    only: Option<String>,
    sharing: Sharing,
}

impl Restore {
    /// Prepares to restore from the base files and an archive. All lengths are in bytes.
    pub fn new(base_lengths: &[u64], archive_length: u64) -> Self {
        Self { base_lengths: base_lengths.to_vec(), archive_length, only: None, sharing: Sharing::Alone }
    }

    /// Lets several jobs over the same inputs share the windows. Each job may run any of them, in
    /// any order, and one job [checks](Job::check) the archive as a whole.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { sharing: Sharing::Shared, ..self }
    }

    /// Restores the bytes of one tensor only, and reads no more of the inputs than that takes.
    #[must_use]
    pub fn tensor(self, name: &str) -> Self {
        Self { only: Some(name.to_owned()), ..self }
    }

    /// Creates the job.
    pub fn job(self) -> Job {
        let step = Step::Archive(ArchiveReader::new(self.archive_length));
        Job::opening(OpenRestore { restore: self, step })
    }
}

/// The number of jobs that run the windows of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// One job runs all windows in order.
    Alone,
    /// Several jobs run them in any order.
    Shared,
}

impl Sharing {
    /// Maximum number of bytes that a window covers, given that of a job that runs all windows.
    fn window(self, alone: u64) -> u64 {
        match self {
            Self::Alone => alone,
            Self::Shared => window::SHARED,
        }
    }
}

/// A restoring job that is not open yet. It reads the archive's directory first, and then the
/// headers of the base files.
#[derive(Debug)]
struct OpenRestore {
    restore: Restore,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Archive(ArchiveReader),
    Bases { archive: Archive, readers: Vec<LayoutReader> },
    Failed,
}

impl OpenRestore {
    /// Creates readers of the base files.
    fn base_readers(&self, archive: &Archive) -> Result<Vec<LayoutReader>> {
        let lengths = &self.restore.base_lengths;
        let kinds = match archive {
            Archive::V1(_) => vec![Kind::Safetensors; lengths.len()],
            Archive::V2(directory) if directory.head.bases.is_empty() => Vec::new(),
            Archive::V2(directory) => bases::kinds(&directory.head.bases, lengths),
        };
        if kinds.is_empty() && matches!(archive, Archive::V2(directory) if !directory.head.bases.is_empty()) {
            return Err(Error::base_mismatch("the archive was made against a base, and there is none")
                .figures("at least 1 base file", 0)
                .input(Source::Base(0)));
        }
        let files = lengths.iter().zip(kinds);
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
                        let archive =
                            reader.finish().ok_or_else(|| Error::truncated("the archive ends before its index"))?;
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

    fn plan(self: Box<Self>) -> Result<Box<dyn Plan>> {
        let Step::Bases { archive, readers } = self.step else {
            return Err(Error::invalid_argument("the job failed before"));
        };
        let bases = BaseSet::new(readers.into_iter().map(|reader| reader.finish().0).collect());
        let only = self.restore.only.as_deref();
        Ok(match archive {
            Archive::V1(index) => Box::new(v1::Restore::new(index, &bases, only, self.restore.sharing)?),
            Archive::V2(directory) => {
                let recorded = bases::recorded(&directory, &self.restore.base_lengths);
                let bases = bases.with_recorded(recorded);
                Box::new(v2::Restore::new(directory, &bases, only, self.restore.sharing)?)
            }
        })
    }
}

/// The error for a tensor that the archive does not hold.
fn no_such_tensor(name: &str) -> Error {
    Error::invalid_argument("the archive has no such tensor").tensor(name).input(Source::Delta)
}

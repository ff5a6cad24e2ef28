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
use crate::layout::reader::KindReader;
use crate::pace::Paced;
use crate::plan::BaseSet;
use crate::window;

/// The settings of a [`Job`] that restores the target of an archive, or one tensor of it, from the
/// archive and its base.
#[derive(Debug, Clone)]
pub struct Restore {
    base_lengths: Vec<u64>,
    archive_length: u64,
    only: Option<String>,
    windows: Windows,
    max_output: u64,
}

impl Restore {
    /// The default of [`max_window`](Self::max_window): 1 GiB.
    pub const MAX_WINDOW: u64 = 1 << 30;

    /// Prepares to restore from the base files and an archive. All lengths are in bytes.
    pub fn new(base_lengths: &[u64], archive_length: u64) -> Self {
        let windows = Windows { sharing: Sharing::Alone, one_thread: false, most: Self::MAX_WINDOW };
        Self { base_lengths: base_lengths.to_vec(), archive_length, only: None, windows, max_output: u64::MAX }
    }

    /// Lets several jobs over the same inputs share the windows, each with
    /// [one thread](Self::one_thread). Each job may run any of them, in any order, and one job
    /// [checks](Job::check) the archive as a whole.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { windows: Windows { sharing: Sharing::Shared, ..self.windows }, ..self }.one_thread()
    }

    /// Makes windows small, since one thread computes each of them. A window is otherwise large
    /// enough to keep several threads busy, and takes as much more memory.
    #[must_use]
    pub fn one_thread(self) -> Self {
        Self { windows: Windows { one_thread: true, ..self.windows }, ..self }
    }

    /// Restores the bytes of one tensor only, and reads no more of the inputs than that takes.
    #[must_use]
    pub fn tensor(self, name: &str) -> Self {
        Self { only: Some(name.to_owned()), ..self }
    }

    /// Refuses an output of more than `bytes` bytes: a few hundred bytes of an archive may restore
    /// to terabytes. Without a call, there is no limit. The job fails with `Limit` before it opens,
    /// and thus before a byte is written.
    #[must_use]
    pub fn max_output(self, bytes: u64) -> Self {
        Self { max_output: bytes, ..self }
    }

    /// Limits the bytes that a window reads and writes together; the default is
    /// [`MAX_WINDOW`](Self::MAX_WINDOW). A decoder's own memory comes on top, at most as many bytes
    /// as the window writes. Windows are made smaller to fit. If a single piece does not fit,
    /// [`Job::reads`] fails with `Limit` before its bytes are read.
    #[must_use]
    pub fn max_window(self, bytes: u64) -> Self {
        Self { windows: Windows { most: bytes, ..self.windows }, ..self }
    }

    /// Creates the job.
    pub fn job(self) -> Job {
        let step = Step::Archive(ArchiveReader::new(self.archive_length));
        let most = self.windows.most;
        Job::opening(OpenRestore { restore: self, step }).with_max_window(most)
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

/// The settings of the windows of a restore.
#[derive(Debug, Clone, Copy)]
struct Windows {
    sharing: Sharing,
    /// One thread computes a window.
    one_thread: bool,
    /// Maximum number of bytes that a window reads and writes.
    most: u64,
}

impl Windows {
    /// Maximum number of bytes that a window restores, given that of a window of several threads. A
    /// quarter of the limit is for the output; the base, the records and the bytes between them
    /// share the rest.
    fn length(self, threads: u64) -> u64 {
        let usual = if self.one_thread { window::ONE_THREAD } else { threads };
        usual.min(self.most / 4)
    }
}

/// A restoring job that is not open yet. It reads the archive's directory first, and then the
/// headers of the base files, and makes its plan from both.
struct OpenRestore {
    restore: Restore,
    step: Step,
}

enum Step {
    Archive(ArchiveReader),
    Bases {
        archive: Archive,
        readers: Vec<KindReader>,
        /// Index of the first reader that wants more.
        next: usize,
    },
    Planning(Paced<Box<dyn Plan>>),
    Planned(Box<dyn Plan>),
    Failed,
}

impl OpenRestore {
    /// Goes on to the next step after one that wants nothing more. Returns `true` if the next one
    /// has work already.
    fn go_on(&mut self) -> Result<bool> {
        self.step = match std::mem::replace(&mut self.step, Step::Failed) {
            Step::Archive(reader) => {
                let archive = reader.finish().ok_or_else(|| Error::truncated("the archive ends before its index"))?;
                let readers = self.base_readers(&archive)?;
                Step::Bases { archive, readers, next: 0 }
            }
            Step::Bases { archive, readers, next } => {
                match readers[next.min(readers.len())..].iter().position(|reader| reader.wants().is_some()) {
                    Some(done) => Step::Bases { archive, readers, next: next + done },
                    None => Step::Planning(Paced::new(self.restore.clone().plan(archive, readers))),
                }
            }
            other => other,
        };
        Ok(self.wants().is_none() && !matches!(self.step, Step::Planned(_) | Step::Failed))
    }

    /// Creates readers of the base files.
    fn base_readers(&self, archive: &Archive) -> Result<Vec<KindReader>> {
        let lengths = &self.restore.base_lengths;
        let kinds = match archive {
            Archive::V1(_) => vec![Kind::Safetensors; lengths.len()],
            Archive::V2(directory) if directory.head.bases.is_empty() => Vec::new(),
            Archive::V2(_) if lengths.is_empty() => {
                return Err(Error::base_mismatch("the archive was made against a base, and there is none")
                    .figures("at least 1 base file", 0)
                    .input(Source::Base(0)));
            }
            Archive::V2(directory) => bases::kinds(&directory.head.bases, lengths),
        };
        let files = lengths.iter().zip(kinds);
        Ok(files.map(|(&length, kind)| KindReader::new(length, kind)).collect())
    }
}

impl Opening for OpenRestore {
    fn wants(&self) -> Option<Read> {
        match &self.step {
            Step::Archive(reader) => reader.wants().map(|range| Read::new(Source::Delta, range)),
            Step::Bases { readers, next, .. } => {
                let range = readers.get(*next)?.wants()?;
                Some(Read::new(Source::Base(*next), range))
            }
            Step::Planning(_) | Step::Planned(_) | Step::Failed => None,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.step {
            Step::Archive(reader) => reader.take(bytes).map_err(|e| e.input(Source::Delta)),
            Step::Bases { readers, next, .. } => match readers.get_mut(*next) {
                Some(reader) => reader.take(bytes).map_err(|e| e.input(Source::Base(*next))),
                None => Ok(()),
            },
            Step::Planning(_) | Step::Planned(_) | Step::Failed => Ok(()),
        }
    }

    fn advance(&mut self) -> Result<bool> {
        let more = match &mut self.step {
            Step::Archive(reader) => reader.advance().map_err(|e| e.input(Source::Delta))?,
            Step::Bases { readers, next, .. } => match readers.get_mut(*next) {
                Some(reader) => reader.advance().map_err(|e| e.input(Source::Base(*next)))?,
                None => false,
            },
            Step::Planning(planning) => match planning.advance()? {
                Some(plan) => {
                    self.step = Step::Planned(plan);
                    false
                }
                None => true,
            },
            Step::Planned(_) | Step::Failed => false,
        };
        if more || self.wants().is_some() {
            return Ok(more);
        }
        self.go_on()
    }

    fn plan(self: Box<Self>) -> Result<Box<dyn Plan>> {
        match self.step {
            Step::Planned(plan) => Ok(plan),
            _ => Err(Error::invalid_argument("the job failed before")),
        }
    }
}

impl Restore {
    /// Plans the restore from the archive and the layouts of the base.
    async fn plan(self, archive: Archive, readers: Vec<KindReader>) -> Result<Box<dyn Plan>> {
        let bases = BaseSet::paced(readers.into_iter().map(|reader| reader.finish().0).collect()).await;
        let only = self.only.as_deref();
        let plan: Box<dyn Plan> = match archive {
            Archive::V1(index) => Box::new(v1::Restore::new(index, &bases, only, self.windows).await?),
            Archive::V2(directory) => {
                let recorded = bases::recorded(&directory, &self.base_lengths);
                let bases = bases.with_recorded(recorded);
                Box::new(v2::Restore::new(directory, &bases, only, self.windows).await?)
            }
        };
        check_output(plan.output_length(), self.max_output)?;
        Ok(plan)
    }
}

/// Checks the length of the output against the host's limit.
fn check_output(length: Option<u64>, most: u64) -> Result<()> {
    match length.filter(|&length| length > most) {
        Some(length) => Err(Error::limit("the restored bytes are more than the limit that was set")
            .figures(format_args!("at most {most} bytes"), length)
            .input(Source::Delta)),
        None => Ok(()),
    }
}

/// The error for a tensor that the archive does not hold.
fn no_such_tensor(name: &str) -> Error {
    Error::invalid_argument("the archive has no such tensor").tensor(name).input(Source::Delta)
}

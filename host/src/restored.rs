//! The output of an archive, read by position.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bitx::drive::{self, DriveError, Sources};
use bitx::io::{Inputs, ReadAt};
use bitx::parallel::{Runner, Sequential};
use bitx::report::Report;
use bitx::{Job, Restore};

use crate::Threads;

/// A source of bytes that several threads share.
pub type Shared = Arc<dyn ReadAt + Send + Sync>;

/// The number of decoded windows that are kept for the next reads.
const KEPT: usize = 4;

/// The file that an archive and its base restore to. A read decodes only the windows that hold its
/// bytes. Every byte that it returns passed the checksums of its chunk; no digest of the whole is
/// taken.
pub struct Restored {
    base: Vec<Shared>,
    archive: Shared,
    threads: usize,
    /// The offset of each window in the output, and behind them the output's length.
    offsets: Vec<u64>,
    report: Report,
    state: Mutex<State>,
}

/// The job, and the windows that were decoded last.
struct State {
    job: Job,
    kept: Vec<(usize, Arc<Vec<u8>>)>,
}

/// A window to decode, and the place for its bytes.
struct Task<'a> {
    window: usize,
    /// The wanted bytes of the window.
    range: Range<usize>,
    place: &'a mut [u8],
}

impl Restored {
    /// Opens an archive and the files of its base, in the order in which the archive names them.
    /// Reads use up to `threads` threads.
    ///
    /// # Errors
    /// A fault in the header of an input; a failed read.
    pub fn open(base: Vec<Shared>, archive: Shared, threads: usize) -> Result<Self, DriveError> {
        let lengths: Vec<u64> = base.iter().map(|file| file.len()).collect();
        let mut job = Restore::new(&lengths, archive.len()).shared().job();
        with(&base, &archive, |sources| drive::open(&mut job, sources))?;
        let offsets = (0..=job.windows()?).map(|count| job.progress(count)).collect::<Result<_, _>>()?;
        let report = job.report()?;
        Ok(Self { base, archive, threads, offsets, report, state: Mutex::new(State { job, kept: Vec::new() }) })
    }

    /// The content of the archive.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Fills `buffer` with the bytes of the output from `offset` on.
    ///
    /// # Errors
    /// Damage of the archive or a wrong base; a failed read; `UnexpectedEof` behind the output's
    /// end.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DriveError> {
        let end = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.len());
        end.ok_or_else(|| DriveError::Read(bitx::io::Source::Delta, io::ErrorKind::UnexpectedEof.into()))?;
        let tasks = self.take_kept(self.tasks(offset, buffer));
        if tasks.len() == 1 {
            return tasks.into_iter().try_for_each(|task| self.decode(self.sibling()?, task, &Threads(self.threads)));
        }
        let workers = self.threads.min(tasks.len());
        let queue = Mutex::new(tasks.into_iter());
        let work = || {
            while let Some(task) = queue.lock().unwrap_or_else(PoisonError::into_inner).next() {
                self.decode(self.sibling()?, task, &Sequential)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let done = workers.into_iter().map(|worker| worker.join());
            // Every worker is waited for before the first failure is returned.
            let done: Vec<Result<(), DriveError>> =
                done.map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect();
            done.into_iter().collect()
        })
    }

    /// Divides `buffer` among the windows of which it wants bytes.
    fn tasks<'a>(&self, mut offset: u64, mut buffer: &'a mut [u8]) -> Vec<Task<'a>> {
        let mut tasks = Vec::new();
        let mut window = self.offsets.partition_point(|&start| start <= offset).saturating_sub(1);
        while !buffer.is_empty() {
            let (start, end) = (self.offsets[window], self.offsets[window + 1]);
            let (place, rest) = buffer.split_at_mut(buffer.len().min((end - offset) as usize));
            let from = (offset - start) as usize;
            offset += place.len() as u64;
            if !place.is_empty() {
                tasks.push(Task { window, range: from..from + place.len(), place });
            }
            (buffer, window) = (rest, window + 1);
        }
        tasks
    }

    /// Fills the places of windows that are kept, and returns the other tasks.
    fn take_kept<'a>(&self, tasks: Vec<Task<'a>>) -> Vec<Task<'a>> {
        let state = self.state();
        let missing = |task: Task<'a>| match state.kept.iter().find(|(window, _)| *window == task.window) {
            Some((_, bytes)) => {
                task.place.copy_from_slice(&bytes[task.range]);
                None
            }
            None => Some(task),
        };
        tasks.into_iter().filter_map(missing).collect()
    }

    fn decode(&self, mut job: Job, task: Task<'_>, runner: &dyn Runner) -> Result<(), DriveError> {
        let (mut inputs, mut output) = (Inputs::default(), Vec::new());
        with(&self.base, &self.archive, |sources| drive::fetch(&job, task.window, sources, &mut inputs))?;
        job.run(task.window, &inputs, runner, &mut output)?;
        task.place.copy_from_slice(&output[task.range.clone()]);
        if task.range.len() < output.len() {
            let mut state = self.state();
            state.kept.retain(|(window, _)| *window != task.window);
            state.kept.truncate(KEPT - 1);
            state.kept.insert(0, (task.window, Arc::new(output)));
        }
        Ok(())
    }

    fn sibling(&self) -> Result<Job, DriveError> {
        Ok(self.state().job.sibling()?)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls `action` with the sources of a restore.
fn with<R>(base: &[Shared], archive: &Shared, action: impl FnOnce(&Sources<'_>) -> R) -> R {
    let base: Vec<&dyn ReadAt> = base.iter().map(|file| file.as_ref() as &dyn ReadAt).collect();
    action(&Sources { base: &base, delta: Some(archive.as_ref()), ..Sources::default() })
}

impl ReadAt for Restored {
    fn len(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read(offset, buffer).map_err(io::Error::other)
    }
}

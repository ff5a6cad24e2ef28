//! Runs many windows of a restore at once, each on one thread from its input to its output.
//!
//! The windows are small, so that the buffers of a window stay in the cache of one core, and no
//! thread waits for others at the end of a window.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bitx::Job;
use bitx::drive::{self, DriveError, Sources};
use bitx::io::{Inputs, Source, Whole};
use bitx::parallel::Sequential;

use super::turns::Turns;

/// The maximum memory of all windows together, in bytes. A single window may exceed it, as those of
/// v1 sometimes do.
const LIMIT: u64 = 256 << 20;

/// The maximum memory per thread, in bytes. It applies instead of [`LIMIT`] if there are so many
/// threads that it allows more.
const LIMIT_EACH: u64 = 16 << 20;

/// The source of a job's inputs.
pub enum Supply<'a> {
    /// Files or similar sources, read window by window.
    Read(Sources<'a>),
    /// Complete inputs in memory.
    Held(&'a [(Source, Whole)]),
}

impl Supply<'_> {
    fn inputs(&self) -> Inputs {
        match self {
            Self::Read(_) => Inputs::default(),
            Self::Held(sources) => Inputs::whole(sources.to_vec()),
        }
    }

    fn fill(&self, inputs: &mut Inputs, job: &Job, window: usize) -> Result<(), DriveError> {
        match self {
            Self::Read(sources) => drive::fetch(job, window, sources, inputs),
            Self::Held(_) => Ok(()),
        }
    }
}

/// A function that receives the output of the windows in order. It may keep a buffer
/// and leave another in its place.
type Write<'a> = dyn FnMut(&mut Vec<u8>) -> io::Result<()> + Send + 'a;

/// Runs all windows of `job`, which must be an open [shared](bitx::Restore::shared) restore, on up
/// to `threads` threads. `write` receives the output in order.
///
/// # Errors
/// The failure of the first window that fails. The caller must discard the output written before
/// it.
pub fn restore(job: &mut Job, threads: usize, supply: &Supply<'_>, write: &mut Write<'_>) -> Result<(), DriveError> {
    let siblings: Vec<Job> = (0..workers(job, threads)?).map(|_| job.sibling()).collect::<Result<_, _>>()?;
    let next = AtomicUsize::new(0);
    let turns = Turns::new((job, write));
    thread::scope(|scope| {
        for sibling in siblings {
            scope.spawn(|| work(sibling, supply, &next, &turns));
        }
    });
    turns.end()
}

/// The number of workers: `threads`, or fewer if there are fewer windows or memory does not
/// suffice.
fn workers(job: &Job, threads: usize) -> bitx::Result<usize> {
    let (windows, mut largest) = (job.windows()?, 1);
    for window in 0..windows {
        let read: u64 = job.reads(window)?.iter().map(|read| read.length).sum();
        largest = largest.max(read + job.progress(window + 1)? - job.progress(window)?);
    }
    let fitting = LIMIT.max(threads as u64 * LIMIT_EACH) / largest;
    Ok(threads.min(windows).min(fitting as usize).max(1))
}

/// Runs one window after the other, each time the next that no worker has taken, until none is left
/// or one has failed.
fn work(mut job: Job, supply: &Supply<'_>, next: &AtomicUsize, turns: &Turns<(&mut Job, &mut Write<'_>), DriveError>) {
    let _participant = turns.join();
    let (mut inputs, mut output) = (supply.inputs(), Vec::new());
    loop {
        let window = next.fetch_add(1, Ordering::Relaxed);
        if window >= job.windows().unwrap_or(0) {
            return;
        }
        let filled = supply.fill(&mut inputs, &job, window);
        let restored = filled.and_then(|()| Ok(job.run(window, &inputs, &Sequential, &mut output)?));
        let go_on = turns.take(window, |(checking, write)| {
            restored?;
            checking.check(window, &inputs)?;
            write(&mut output).map_err(DriveError::Write)
        });
        if !go_on {
            return;
        }
    }
}

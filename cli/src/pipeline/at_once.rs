//! Many windows of a restore at a time: small ones, each on one thread from its input to its output, which stays in that
//! processor's caches; and no thread waits for the others at the end of each.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bitx::drive::{self, DriveError, Sources};
use bitx::io::{Inputs, Source, Whole};
use bitx::parallel::Sequential;
use bitx::{Job, Restore};

use super::turns::Turns;

/// Bytes that windows take in memory at most, unless one alone takes more: those of v1 may be large. Where there are many
/// threads, so much for each.
const LIMIT: u64 = 256 << 20;
const LIMIT_EACH: u64 = 16 << 20;

/// Where inputs come from.
pub enum Supply<'a> {
    Read(Sources<'a>),
    /// They are in memory, each of them whole.
    Held(&'a [(Source, Whole)]),
}

impl Supply<'_> {
    fn inputs(&self) -> Inputs {
        match self {
            Self::Read(_) => Inputs::default(),
            Self::Held(sources) => Inputs::whole(sources.to_vec()),
        }
    }

    fn fill(&self, inputs: &mut Inputs, job: &Restore, window: usize) -> Result<(), DriveError> {
        match self {
            Self::Read(sources) => drive::fetch(job, window, sources, inputs),
            Self::Held(_) => Ok(()),
        }
    }
}

/// Takes the output, a window after the other, and may take the buffer itself.
type Write<'a> = dyn FnMut(&mut Vec<u8>) -> io::Result<()> + Send + 'a;

/// Runs every window of `job`, which is [shared](Restore::shared) and open, and gives `write` its output.
///
/// # Errors
/// The failure of the first window that has one; what was written before is a prefix that the caller must discard.
pub fn restore(
    job: &mut Restore,
    threads: usize,
    supply: &Supply<'_>,
    write: &mut Write<'_>,
) -> Result<(), DriveError> {
    let siblings: Vec<Restore> = (0..workers(job, threads)).map(|_| job.sibling()).collect::<Result<_, _>>()?;
    let next = AtomicUsize::new(0);
    let turns = Turns::new((job, write));
    thread::scope(|scope| {
        for sibling in siblings {
            scope.spawn(|| work(sibling, supply, &next, &turns));
        }
    });
    turns.end()
}

/// As many as there are threads, unless there are fewer windows, or these take too much memory.
fn workers(job: &Restore, threads: usize) -> usize {
    let bytes = |window| {
        let read: u64 = job.reads(window).iter().map(|read| read.length).sum();
        read + job.progress(window + 1) - job.progress(window)
    };
    let largest = (0..job.windows()).map(bytes).max().unwrap_or(0).max(1);
    let fitting = LIMIT.max(threads as u64 * LIMIT_EACH) / largest;
    threads.min(job.windows()).min(fitting as usize).max(1)
}

/// Restores whichever window is next, until there is none or one has failed.
fn work(
    mut job: Restore,
    supply: &Supply<'_>,
    next: &AtomicUsize,
    turns: &Turns<(&mut Restore, &mut Write<'_>), DriveError>,
) {
    let _participant = turns.join();
    let (mut inputs, mut output) = (supply.inputs(), Vec::new());
    loop {
        let window = next.fetch_add(1, Ordering::Relaxed);
        if window >= job.windows() {
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

//! Runs one window after the other, each on all threads.
//!
//! Two sets of buffers circulate between threads: while one window is computed, the next one is
//! read and the previous one is written.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bitx::Job;
use bitx::drive::{DriveError, Sources};
use bitx::io::{Inputs, Read};
use bitx::parallel::Runner;

/// The number of input buffers, and of output buffers, in circulation.
const BUFFERS: usize = 2;

/// Inputs that were read, or the failure to read them.
type Filled = Result<Inputs, DriveError>;
/// A buffer that was written and can be used again, or the failure to write it.
type Written = Result<Vec<u8>, DriveError>;

/// Runs all windows of an open `job` and writes its output, like [`bitx::drive::drive`]. `progress`
/// receives the number of bytes done so far.
///
/// # Errors
/// The first failure. The caller must discard the output written before it.
pub fn drive(
    job: &mut Job,
    sources: &Sources<'_>,
    runner: &dyn Runner,
    output: &mut (dyn Write + Send),
    progress: &mut dyn FnMut(u64),
) -> Result<(), DriveError> {
    let reads: Vec<Vec<Read>> = (0..job.windows()?).map(|window| job.reads(window)).collect::<Result<_, _>>()?;
    let (empty, to_fill) = sync_channel(BUFFERS);
    let (filled, inputs) = sync_channel(BUFFERS);
    let (full, to_write) = sync_channel(BUFFERS);
    let (written, spare) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        let _ = empty.send(Inputs::default());
        let _ = written.send(Ok(Vec::new()));
    }
    thread::scope(|scope| {
        scope.spawn(|| read_windows(reads, sources, to_fill, filled));
        scope.spawn(|| write_windows(output, to_write, written));
        let done = compute_windows(job, runner, (inputs, empty), (&spare, full), progress);
        // Waits for the last writes. If one failed, its error is more useful than that of a closed
        // channel.
        spare.iter().try_for_each(|written| written.map(drop))?;
        done
    })
}

/// Reads the inputs of one window after the other, until the receiver is gone.
fn read_windows(reads: Vec<Vec<Read>>, sources: &Sources<'_>, to_fill: Receiver<Inputs>, filled: SyncSender<Filled>) {
    for reads in reads {
        let Ok(mut inputs) = to_fill.recv() else { return };
        inputs.prepare(reads);
        let done = inputs.iter_mut().try_for_each(|(read, buffer)| sources.fill(read, buffer));
        if filled.send(done.map(|()| inputs)).is_err() {
            return;
        }
    }
}

/// Writes the buffers that it receives, and returns them for reuse.
fn write_windows(output: &mut (dyn Write + Send), to_write: Receiver<Vec<u8>>, written: SyncSender<Written>) {
    for bytes in to_write {
        let done = output.write_all(&bytes).map_err(DriveError::Write);
        if done.is_err() || written.send(Ok(bytes)).is_err() {
            let _ = done.map_err(|error| written.send(Err(error)));
            return;
        }
    }
}

/// Runs the windows in order, each with the next inputs and a spare output buffer.
fn compute_windows(
    job: &mut Job,
    runner: &dyn Runner,
    (inputs, empty): (Receiver<Filled>, SyncSender<Inputs>),
    (spare, full): (&Receiver<Written>, SyncSender<Vec<u8>>),
    progress: &mut dyn FnMut(u64),
) -> Result<(), DriveError> {
    for window in 0..job.windows()? {
        // A reader or writer that stops early has sent its error before.
        let (Ok(input), Ok(output)) = (inputs.recv(), spare.recv()) else { break };
        let (input, mut output) = (input?, output?);
        job.run(window, &input, runner, &mut output)?;
        let _ = (empty.send(input), full.send(output));
        progress(job.progress(window + 1)?);
    }
    Ok(())
}

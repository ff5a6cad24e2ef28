//! Jobs of the codec over temporary files.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use bitx::drive::{self, DriveError, Sources};
use bitx::io::{ReadAt, Source};
use bitx::parallel::Rayon;
use bitx::{Compress, Effort, Format, Restore};
use bitx_host::InputFile;
use bitx_host::pipeline::{self, Supply};
use bitx_store::Digest;
use tokio_util::sync::CancellationToken;

use crate::errors::{Code, Failure, Result};

/// The length and digest that a file must have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) length: u64,
    pub(crate) digest: Digest,
}

/// The end of a job, before or after its work is done.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Cancelled when the server shuts down.
    pub(crate) token: CancellationToken,
    /// The time at which the job has taken too long.
    pub(crate) until: Instant,
}

impl Stop {
    fn check(&self) -> io::Result<()> {
        if self.token.is_cancelled() {
            return Err(io::Error::other("the server is shutting down"));
        }
        if Instant::now() > self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

/// Restores an archive to `output` and checks the result. The archive comes from a client and is
/// not trusted: no more bytes are written than expected.
///
/// # Errors
/// `Mismatch`, if the archive does not decode, or decodes to other bytes.
pub(crate) fn restore(
    base: Option<&Path>,
    archive: &Path,
    expected: Expected,
    output: &mut (dyn Write + Send),
    stop: &Stop,
) -> Result<()> {
    let base = base.map(InputFile::open).transpose().map_err(Failure::spool)?;
    let archive = InputFile::open(archive).map_err(Failure::spool)?;
    let bases: Vec<&dyn ReadAt> = base.iter().map(|base| base as &dyn ReadAt).collect();
    let lengths: Vec<u64> = bases.iter().map(|base| base.len()).collect();
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    let mut job = Restore::new(&lengths, archive.len()).shared().job();
    drive::open(&mut job, &sources).map_err(refused)?;
    let found = job.output_length().map_err(Failure::spool)?.unwrap_or_default();
    if found != expected.length {
        let expected = expected.length;
        return Err(Failure::mismatch(format!("the archive restores to {found} bytes, but {expected} were announced")));
    }
    let mut checked = Checked { output, hasher: blake3::Hasher::new(), left: expected.length, stop };
    let threads = rayon::current_num_threads();
    let supply = Supply::Read(sources);
    pipeline::restore(&mut job, threads, &supply, &mut |bytes| checked.write_all(bytes)).map_err(refused)?;
    if checked.left != 0 || Digest::from(checked.hasher.finalize()) != expected.digest {
        return Err(Failure::mismatch("the restored file does not have the announced digest"));
    }
    Ok(())
}

/// Compresses a file against another file. Both come from the store. Returns `false` if the archive
/// would be longer than `most` bytes.
///
/// # Errors
/// `Storage`; `Busy`, if it takes too long.
pub(crate) fn compress(
    base: &Path,
    target: &Path,
    output: &mut (dyn Write + Send),
    most: u64,
    stop: &Stop,
) -> Result<bool> {
    let base = InputFile::open(base).map_err(Failure::spool)?;
    let target = InputFile::open(target).map_err(Failure::spool)?;
    let sources = Sources { base: &[&base], target: Some(&target), ..Sources::default() };
    let mut output = Checked { output, hasher: blake3::Hasher::new(), left: most, stop };
    let mut go = || -> Result<(), DriveError> {
        let mut job = Compress::new(&[base.len()], target.len(), Format::V2 { effort: Effort::Default })?.job();
        drive::open(&mut job, &sources)?;
        pipeline::drive(&mut job, &sources, &Rayon, &mut output, &mut |_| {})
    };
    match go() {
        Ok(()) => Ok(true),
        Err(DriveError::Write(error)) if error.kind() == io::ErrorKind::FileTooLarge => Ok(false),
        Err(DriveError::Write(error)) if error.kind() == io::ErrorKind::TimedOut => Err(too_slow()),
        Err(error) => Err(Failure::spool(error)),
    }
}

/// Checks that a file has at most `most` tensors, and returns their number. A file without a layout
/// has none.
///
/// # Errors
/// `TooLarge`.
pub(crate) fn count_tensors(path: &Path, most: usize) -> Result<usize> {
    let file = InputFile::open(path).map_err(Failure::spool)?;
    let tensors = match drive::layout(&file) {
        Ok(layout) => layout.regions.len(),
        Err(DriveError::Job(_)) => 0,
        Err(error) => return Err(Failure::spool(error)),
    };
    if tensors > most {
        let message = format!("the files of the upload have more tensors than the server permits: {most} are left");
        return Err(Failure::new(Code::TooLarge, message));
    }
    Ok(tensors)
}

fn too_slow() -> Failure {
    Failure::busy("the work takes too long")
}

/// Checks the length and digest of a file.
///
/// # Errors
/// `Mismatch`, if they differ from those expected.
pub(crate) fn check(path: &Path, expected: Expected) -> Result<()> {
    let mut hasher = blake3::Hasher::new();
    let length = io::copy(&mut File::open(path).map_err(Failure::spool)?, &mut hasher).map_err(Failure::spool)?;
    if length != expected.length || Digest::from(hasher.finalize()) != expected.digest {
        return Err(Failure::mismatch("the file does not have the announced length and digest"));
    }
    Ok(())
}

/// Attributes an error: an archive that does not decode is the client's fault, a disk that fails is
/// the server's.
fn refused(error: DriveError) -> Failure {
    match error {
        DriveError::Job(error) => Failure::mismatch(format!("the archive does not decode: {error}")),
        DriveError::Read(Source::Delta, error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Failure::mismatch("the archive ends before its contents do")
        }
        DriveError::Write(error) if error.kind() == io::ErrorKind::TimedOut => too_slow(),
        DriveError::Read(_, error) | DriveError::Write(error) => Failure::spool(error),
    }
}

/// A writer that hashes its bytes, refuses more than are left, and fails once the server stops.
struct Checked<'a> {
    output: &'a mut (dyn Write + Send),
    hasher: blake3::Hasher,
    left: u64,
    stop: &'a Stop,
}

impl Write for Checked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.output.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

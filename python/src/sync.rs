//! Weights in memory: an archive of the change from one version to the next, and its application in
//! place.
//!
//! The tensors of a version are one safetensors file that is never written. An archive states the
//! digests of its base and of its target, and so each one names its parent and the version that it
//! makes.

mod changes;

use std::io::{self, Write};

use bitx::io::{Inputs, ReadAt, Source as Role};
use bitx::report::Report;
use bitx::{Compress, ErrorKind, Restore};
use bitx_host::Stoppable;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::fault::Fault;
use crate::files::{self, check_digest, threads};
use crate::given::Given;
use crate::input::{Input, Source, Tensors};
use crate::report::hex;
use crate::watch::{Watch, watched};
use changes::Changes;

/// Bytes of a window of one thread: a chunk of 2 MiB, and short ones beside it.
const CACHED: u64 = (2 << 20) + (1 << 17);

/// Bytes of a new version that are digested and compared at a time.
const PIECE: usize = 1 << 17;

/// Computes the BLAKE3 digest of an input.
#[pyfunction]
pub fn digest(py: Python<'_>, input: &Bound<'_, Input>) -> PyResult<String> {
    let input = input.get();
    let digest = watched(py, None, |watch| digest_of(input, watch))??;
    Ok(hex(digest))
}

fn digest_of(input: &Input, watch: &Watch) -> Result<[u8; 32], Fault> {
    let file = Stoppable { inner: input.source.as_ref() as &dyn ReadAt, stop: watch };
    bitx_host::digest(&file).map_err(|error| input.named(Fault::io(error)))
}

/// Compresses `new` against `old` in memory. `parent` is the digest of `old`, if it is known.
#[pyfunction]
#[pyo3(signature = (old, new, *, effort, parent, threads))]
pub fn encode<'py>(
    py: Python<'py>,
    old: &Bound<'_, Input>,
    new: &Bound<'_, Input>,
    effort: &str,
    parent: Option<[u8; 32]>,
    threads: Option<u16>,
) -> PyResult<Bound<'py, PyBytes>> {
    let format = files::format(effort, None)?;
    let given = Given { base: vec![old.get().clone()], target: Some(new.get().clone()), delta: None };
    let length = new.get().source.len();
    let archive = watched(py, None, |watch| -> Result<_, Fault> {
        let mut archive = Vec::new();
        let threads = self::threads(threads);
        let compress = Compress::new(&given.base_lengths(), length, format)?;
        let compress = if threads <= 1 { compress.max_window(CACHED) } else { compress };
        let mut job = match parent {
            Some(parent) => compress.with_base_digest(0, parent).job(),
            None => compress.job(),
        };
        given.drive(&mut job, threads, &mut archive, watch)?;
        Ok(archive)
    })??;
    Ok(PyBytes::new(py, &archive))
}

/// Changes the tensors of `state` to those that `delta` makes of them, in place. Returns the digest
/// of the new version. The state is unchanged if anything fails. `version` is the digest of
/// `state`, if it is known.
#[pyfunction]
#[pyo3(signature = (state, delta, *, version, threads))]
pub fn apply(
    py: Python<'_>,
    state: &Bound<'_, Input>,
    delta: &Bound<'_, Input>,
    version: Option<[u8; 32]>,
    threads: Option<u16>,
) -> PyResult<String> {
    let (state, delta) = (state.get(), delta.get());
    let Source::Tensors(tensors) = state.source.as_ref() else {
        return Err(Fault::new(ErrorKind::InvalidArgument, "the state is not a set of tensors").into());
    };
    if !tensors.is_writable() {
        return Err(Fault::new(ErrorKind::InvalidArgument, "a tensor of the state is read-only").into());
    }
    let threads = self::threads(threads);
    let (changes, digest) = watched(py, None, |watch| decode((state, tensors, version), delta, threads, watch))??;
    // Everything was checked, and nothing can stop the change half way.
    py.detach(|| changes.write_to(tensors)).map_err(Fault::io)?;
    Ok(hex(digest))
}

/// Decodes the new version and checks it. Returns its changes and its digest.
fn decode(
    (state, tensors, version): (&Input, &Tensors, Option<[u8; 32]>),
    delta: &Input,
    threads: usize,
    watch: &Watch,
) -> Result<(Changes, [u8; 32]), Fault> {
    let given = Given { base: vec![state.clone()], delta: Some(delta.clone()), target: None };
    let stated = check_parent(&given.inspect(watch)?, state, version, watch).map_err(|fault| delta.named(fault))?;
    let mut job = Restore::new(&given.base_lengths(), given.archive_length()).shared().max_output(tensors.len()).job();
    let mut recording = Recording { tensors, changes: Changes::default(), hasher: blake3::Hasher::new(), offset: 0 };
    if threads <= 1 && given.is_in_memory() {
        given.restore_here(&mut job, &mut |bytes, inputs| recording.take(bytes, Some(inputs)), watch)?;
    } else {
        given.restore(&mut job, threads, &mut recording, watch)?;
    }
    let found = *recording.hasher.finalize().as_bytes();
    check_digest(Some(stated), found).map_err(|fault| delta.named(fault))?;
    Ok((recording.changes, found))
}

/// Checks that the state is the parent of a delta. Returns the digest of the version that the delta
/// makes. The state's `version` is computed if it is not known.
fn check_parent(report: &Report, state: &Input, version: Option<[u8; 32]>, watch: &Watch) -> Result<[u8; 32], Fault> {
    let ([parent], Some(stated)) = (&report.bases[..], report.blake3) else {
        let message = "the archive is no delta between two versions of tensors";
        return Err(Fault::new(ErrorKind::InvalidArgument, message));
    };
    let length = state.source.len();
    if (parent.length, report.restored_bytes) != (length, length) {
        let message = format!(
            "the tensors of the delta have other names, shapes or dtypes than the state: expected {} and {} bytes, \
             found {length}",
            parent.length, report.restored_bytes
        );
        return Err(Fault::new(ErrorKind::BaseMismatch, message));
    }
    let found = version.map_or_else(|| digest_of(state, watch), Ok)?;
    if found != parent.blake3 {
        let (parent, found) = (hex(parent.blake3), hex(found));
        let message = format!("the state is not the parent of the delta: expected version {parent}, found {found}");
        return Err(Fault::new(ErrorKind::BaseMismatch, message));
    }
    Ok(stated)
}

/// A writer that takes the bytes of the new version in order, and keeps those that change.
struct Recording<'a> {
    tensors: &'a Tensors,
    changes: Changes,
    hasher: blake3::Hasher,
    offset: u64,
}

impl Recording<'_> {
    /// Takes the next bytes. They are compared with the old version's among `inputs`, if these are
    /// known and hold them.
    fn take(&mut self, bytes: &[u8], mut inputs: Option<&mut Inputs>) -> io::Result<()> {
        self.check_header(bytes)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            // Pieces end where parts of the digest's tree do, which are then computed together.
            let length = (PIECE - (self.offset % PIECE as u64) as usize).min(rest.len());
            let (piece, others) = rest.split_at(length);
            let old = inputs.as_deref_mut().and_then(|inputs| held(inputs, self.offset, length));
            self.hasher.update(piece);
            self.changes.record(self.tensors, self.offset, piece, old)?;
            self.offset += length as u64;
            rest = others;
        }
        Ok(())
    }

    /// Checks that the next bytes have the header of the state, as far as they are those of a
    /// header.
    fn check_header(&self, bytes: &[u8]) -> io::Result<()> {
        let header = self.tensors.header().get(self.offset as usize..).unwrap_or_default();
        if bytes.starts_with(&header[..header.len().min(bytes.len())]) {
            return Ok(());
        }
        let message = "the tensors of the delta have other names, shapes or dtypes than the state";
        Err(io::Error::other(bitx::Error::new(ErrorKind::BaseMismatch, message)))
    }
}

/// Returns the `length` bytes at `offset` of the state, if one read has them.
fn held(inputs: &mut Inputs, offset: u64, length: usize) -> Option<&[u8]> {
    inputs.iter_mut().find_map(|(read, bytes)| {
        let start = usize::try_from(offset.checked_sub(read.offset)?).ok()?;
        let state = matches!(read.source, Role::Base(_));
        bytes.get(start..start.checked_add(length)?).filter(|_| state)
    })
}

impl Write for Recording<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes, None).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The coding of pieces as objects: raw, compressed alone, or as a delta against another piece,
//! whichever is smallest.
//!
//! An object begins with a byte that names the coding. For a delta, the id of its base follows: 32
//! bytes of digest, and the epoch as a little-endian `u32`. The head of a [pack](packed) lists its
//! segments, and that of a [set](sets) the tensors of its base, which may be a part of a
//! [run](runs) of pieces. The rest is the raw bytes, or a v2 archive of them. The archive tells
//! what it takes of the base, whose dtype and shape may be others.

mod frame;
mod lanes;
mod packed;
mod runs;
mod sets;

use std::io::{self, Write};
use std::sync::Arc;

use bitx::drive;
use bitx::io::{Inputs, Source, Whole};
use bitx::layout::Dtype;
use bitx::parallel::Sequential;
use bitx::report::{Method, Report};
use bitx::{Compress, Effort, Format, Job, Restore};
use bytes::Bytes;

use crate::digest::Digest;
use crate::keys::ObjectId;
pub(crate) use packed::{Packed, Segment, encode as encode_pack};
pub(crate) use runs::{Gathered, LONGEST_LIST, MOST_PIECES, Rectangle, Run, is_of_run, pieces_of, run_of};
pub(crate) use sets::{BaseSet, Member, Set, encode as encode_set};

const RAW: u8 = 0;
const ALONE: u8 = 1;
const DELTA: u8 = 2;
const PACK: u8 = 4;
const PACK_DELTA: u8 = 5;
const SET_DELTA: u8 = 7;
const SET_RUN: u8 = 8;

/// The length in bytes of the head of a delta.
pub(crate) const LONGEST_HEAD: u64 = 37;

/// The maximum number of bytes reserved for the output of an object at once. No piece is larger,
/// whatever a damaged object states.
const MOST_RESERVED: u64 = 32 << 20;

/// The length in bytes below which a piece is coded both against its base and alone.
const SHORT: usize = 64 << 10;

/// The problem of an object that decodes to bytes of a digest other than its own.
pub(crate) const OTHER_DIGEST: &str = "the decoded bytes do not match the digest";

/// The problem of an object that ends inside its head.
const CUT_HEAD: &str = "the object ends inside its head";

/// The reason why an object cannot be decoded.
pub(crate) type Problem = String;

/// The reason why a piece cannot be coded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The piece has changed since its digest was computed.
    Changed,
    /// The bytes of the base do not match the digest in its id.
    Base(ObjectId),
    /// The codec failed, or its output did not decode to the piece.
    Codec(Problem),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Codec(problem)
    }
}

/// A piece to store, with the digest that it had when it was first read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Typed<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [u64],
    pub(crate) bytes: &'a Bytes,
    pub(crate) digest: Digest,
}

/// A base of a piece, with its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) id: ObjectId,
    pub(crate) bytes: Bytes,
    /// Its form, unless it has the dtype and the shape of the piece.
    pub(crate) form: Option<Form>,
}

/// The form of a base that is not of the piece's dtype and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// A tensor. `in_order` tells that its weights are in the order of those of the piece, unless
    /// rows were added or removed.
    Tensor { dtype: Dtype, shape: Vec<u64>, in_order: bool },
    /// Bytes that are no tensor, of any length.
    Bytes,
}

/// An object as head and content, and the base that it needs to be decoded.
#[derive(Debug)]
pub(crate) struct Coded {
    pub(crate) object: [Bytes; 2],
    pub(crate) base: Option<ObjectId>,
}

impl Coded {
    /// The length of the object in bytes.
    pub(crate) fn length(&self) -> usize {
        self.object.iter().map(Bytes::len).sum()
    }
}

/// Codes a piece, alone or against one of `bases`, whichever is smallest. Before it returns, it
/// decodes the object and compares the result with the piece, and it checks the digests of the
/// piece and of the bases.
///
/// # Errors
/// See [`Failure`].
pub(crate) fn encode(piece: Typed<'_>, bases: &[Base], effort: Effort) -> Result<Coded, Failure> {
    let mut smallest: Option<(Bytes, &Base)> = None;
    for base in bases {
        if let Some(archive) = compress(piece, Some(base), effort)?
            && smallest.as_ref().is_none_or(|(other, _)| archive.len() < other.len())
        {
            smallest = Some((archive, base));
        }
    }
    let Some((archive, base)) = smallest else { return alone(piece, effort) };
    let length = archive.len() + LONGEST_HEAD as usize;
    // The base of a short piece is a guess, and so is one of another form. The head of a delta
    // counts.
    if piece.bytes.len() < SHORT || base.form.is_some() {
        let whole = alone(piece, effort)?;
        if whole.length() <= length {
            return Ok(whole);
        }
    } else if length >= piece.bytes.len() {
        return Ok(plain(piece));
    }
    let coded = Coded { object: [head(DELTA, &base.id).into(), archive], base: Some(base.id) };
    checked(coded, Some(&base.bytes), piece)
}

fn plain(piece: Typed<'_>) -> Coded {
    Coded { object: [Bytes::from_static(&[RAW]), piece.bytes.clone()], base: None }
}

fn head(kind: u8, base: &ObjectId) -> Vec<u8> {
    [&[kind], &base.digest.as_bytes()[..], &base.epoch.to_le_bytes()].concat()
}

/// Codes a piece without a base.
fn alone(piece: Typed<'_>, effort: Effort) -> Result<Coded, Failure> {
    match compress(piece, None, effort)? {
        Some(archive) if archive.len() < piece.bytes.len() => {
            checked(Coded { object: [Bytes::from_static(&[ALONE]), archive], base: None }, None, piece)
        }
        _ => Ok(plain(piece)),
    }
}

/// The archive of a file, alone or against a base file.
fn archive(target: &Bytes, base: Option<&Bytes>, effort: Effort) -> Result<Bytes, Failure> {
    let lengths: Vec<u64> = base.iter().map(|base| base.len() as u64).collect();
    let job = Compress::new(&lengths, target.len() as u64, Format::V2 { effort });
    run(&mut job.map_err(|e| Failure::Codec(e.to_string()))?.job(), target, base)
}

/// Runs a job that compresses `target`, and returns the archive.
fn run(job: &mut Job, target: &Bytes, base: Option<&Bytes>) -> Result<Bytes, Failure> {
    let inputs = inputs([(Source::Target, Some(target)), (Source::Base(0), base)]);
    drive::open_whole(job, &inputs).map_err(|e| Failure::Codec(e.to_string()))?;
    let mut archive = Vec::with_capacity(target.len() / 2);
    let coded = drive::drive_whole(job, &inputs, &Sequential, &mut archive);
    coded.map_err(|e| Failure::Codec(e.to_string())).map(|_| archive.into())
}

/// Decodes an object and compares the result with the piece.
fn checked(coded: Coded, base: Option<&Bytes>, piece: Typed<'_>) -> Result<Coded, Failure> {
    let [head, archive] = &coded.object;
    let mut rest = Same(piece.bytes);
    Decoding::of(archive, base)?.run(&mut rest)?;
    if base_of(head)? != coded.base || !rest.0.is_empty() {
        return Err(Failure::Codec(DIFFERS.to_owned()));
    }
    Ok(coded)
}

const DIFFERS: &str = "the coded object does not decode to the bytes of the piece";

/// A sink that accepts only these bytes, in this order. It holds the rest that has not been written
/// yet.
struct Same<'a>(&'a [u8]);

impl Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.split_at_checked(bytes.len()) {
            Some((next, rest)) if next == bytes => self.0 = rest,
            _ => return Err(io::Error::other(DIFFERS)),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses a piece into an archive. With a base, it returns `None` if no part of the archive
/// uses the base.
fn compress(piece: Typed<'_>, base: Option<&Base>, effort: Effort) -> Result<Option<Bytes>, Failure> {
    let codec = |error: bitx::Error| Failure::Codec(error.to_string());
    let mut job = job(piece, base, effort).map_err(codec)?;
    let archive = run(&mut job, piece.bytes, base.map(|base| &base.bytes))?;
    let report = job.report().map_err(codec)?;
    check_digests(&report, piece, base.map(|base| base.id))?;
    // Narrow chunks, palettes and patches may use the base or not.
    let by_base = |(method, _): (Method, usize)| {
        use Method::{CopyBase, Delta, Grid, Narrow, Palette, Patch, Predicted};
        matches!(method, CopyBase | Delta | Grid | Narrow | Palette | Patch | Predicted)
    };
    let useful = base.is_none() || report.method_counts().into_iter().any(by_base);
    Ok(useful.then_some(archive))
}

/// The job that compresses a piece.
fn job(piece: Typed<'_>, base: Option<&Base>, effort: Effort) -> bitx::Result<Job> {
    let target = (piece.dtype, piece.shape);
    match base.map(|base| (base, &base.form)) {
        Some((_, Some(Form::Tensor { dtype, shape, in_order }))) => {
            Compress::tensor_from(target, (*dtype, shape), *in_order, effort)
        }
        Some((base, Some(Form::Bytes))) => {
            Ok(Compress::bytes_from(piece.bytes.len() as u64, base.bytes.len() as u64, effort))
        }
        Some((_, None)) => Compress::tensor(piece.dtype, piece.shape, true, effort),
        None => Compress::tensor(piece.dtype, piece.shape, false, effort),
    }
}

/// Checks the digests of piece and base. They are those that the codec has computed for the
/// archive, so that the bytes are not hashed again.
fn check_digests(report: &Report, piece: Typed<'_>, base: Option<ObjectId>) -> Result<(), Failure> {
    if report.blake3.as_ref() != Some(piece.digest.as_bytes()) {
        return Err(Failure::Changed);
    }
    match base {
        Some(id) if report.bases.iter().any(|base| base.blake3 != *id.digest.as_bytes()) => Err(Failure::Base(id)),
        _ => Ok(()),
    }
}

/// Reads the base that an object needs from its first [`LONGEST_HEAD`] bytes.
pub(crate) fn base_of(head: &[u8]) -> Result<Option<ObjectId>, Problem> {
    match head.split_first() {
        Some((&(RAW | ALONE | PACK), _)) => Ok(None),
        Some((&(DELTA | PACK_DELTA | SET_DELTA | SET_RUN), rest)) => Ok(Some(id_at(rest).ok_or(CUT_HEAD)?)),
        Some((kind, _)) => Err(format!("the object has the unknown coding {kind}")),
        None => Err("the object is empty".to_owned()),
    }
}

/// The id at the beginning of some bytes.
fn id_at(bytes: &[u8]) -> Option<ObjectId> {
    let (digest, rest) = bytes.split_first_chunk::<32>()?;
    let epoch = rest.first_chunk()?;
    Some(ObjectId { digest: Digest::from(*digest), epoch: u32::from_le_bytes(*epoch) })
}

/// Decodes an object, given the bytes of its base if it needs one. The caller must check the digest
/// of the result.
pub(crate) fn decode(object: &Bytes, base: Option<Bytes>) -> Result<Bytes, Problem> {
    match (object.first(), base) {
        (Some(&RAW), None) => Ok(object.slice(1..)),
        (Some(&ALONE), None) => Decoding::of(&object.slice(1..), None)?.bytes(),
        (Some(&DELTA), Some(base)) => {
            let whole = object.len() >= LONGEST_HEAD as usize;
            let archive = whole.then(|| object.slice(LONGEST_HEAD as usize..)).ok_or(CUT_HEAD)?;
            Decoding::of(&archive, Some(&base))?.bytes()
        }
        (Some(&PACK), None) => packed::decoded(object, None),
        (Some(&PACK_DELTA), Some(base)) => packed::decoded(object, Some(&base)),
        (Some(&(SET_DELTA | SET_RUN)), Some(base)) => sets::decoded(object, base),
        _ => Err("the coding of the object does not match the base in its manifest".to_owned()),
    }
}

/// Returns `true` for an object of kind 1: an archive without a base.
pub(crate) fn is_archive(object: &[u8]) -> bool {
    object.first() == Some(&ALONE)
}

/// Decodes an archive without a base, unless it states more than `most` bytes.
pub(crate) fn decode_up_to(object: &Bytes, most: u64) -> Result<Bytes, Problem> {
    let decoding = Decoding::of(&object.slice(1..), None)?;
    match decoding.job.output_length().map_err(|e| e.to_string())? {
        Some(length) if length <= most => decoding.bytes(),
        _ => Err("the object is longer than it may be".to_owned()),
    }
}

/// An open archive that is ready to be decoded.
struct Decoding {
    job: Job,
    inputs: Inputs,
}

impl Decoding {
    fn of(archive: &Bytes, base: Option<&Bytes>) -> Result<Self, Problem> {
        let lengths: Vec<u64> = base.iter().map(|base| base.len() as u64).collect();
        // The windows of a shared restore are small enough for the processor's caches.
        let mut job = Restore::new(&lengths, archive.len() as u64).shared().job();
        let inputs = inputs([(Source::Delta, Some(archive)), (Source::Base(0), base)]);
        drive::open_whole(&mut job, &inputs).map_err(|e| e.to_string())?;
        Ok(Self { job, inputs })
    }

    fn run(&mut self, output: &mut dyn Write) -> Result<(), Problem> {
        drive::drive_whole(&mut self.job, &self.inputs, &Sequential, output).map_err(|e| e.to_string())
    }

    fn bytes(mut self) -> Result<Bytes, Problem> {
        // Growing the buffer step by step would copy every byte several times. The stated length is
        // trusted up to a limit.
        let length = self.job.output_length().map_err(|e| e.to_string())?.unwrap_or(0).min(MOST_RESERVED);
        let mut bytes = Vec::with_capacity(length as usize);
        self.run(&mut bytes)?;
        Ok(bytes.into())
    }
}

fn inputs(sources: [(Source, Option<&Bytes>); 2]) -> Inputs {
    let whole = |(source, bytes): (Source, Option<&Bytes>)| Some((source, Arc::new(bytes?.clone()) as Whole));
    Inputs::whole(sources.into_iter().filter_map(whole).collect())
}

#[cfg(test)]
mod tests;

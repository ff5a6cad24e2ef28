//! How a piece is stored: as it is, coded alone, or as a delta against another piece; whatever is smallest.
//!
//! An object is a byte that says which, for a delta the id of its base (32 bytes of digest, epoch as a little-endian
//! `u32`), and then the bytes, or a v2 archive of a single tensor.

use bitx_wasm::drive::{self, DriveError, Sources};
use bitx_wasm::io::ReadAt;
use bitx_wasm::layout::Dtype;
use bitx_wasm::parallel::Sequential;
use bitx_wasm::report::Method;
use bitx_wasm::{Compress, Effort, Job, Restore};

use crate::digest::Digest;
use crate::keys::ObjectId;

const RAW: u8 = 0;
const ALONE: u8 = 1;
const DELTA: u8 = 2;

/// Bytes that a delta's head takes.
pub(crate) const LONGEST_HEAD: u64 = 37;

/// Room that is made at once for what an object says that it decodes to: pieces are no larger.
const MOST_RESERVED: u64 = 32 << 20;

/// Why an object does not decode.
pub(crate) type Problem = String;

/// A piece to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Typed<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: &'a [u64],
    pub(crate) bytes: &'a [u8],
}

/// An object, and the base that it needs.
#[derive(Debug)]
pub(crate) struct Coded {
    pub(crate) object: Vec<u8>,
    pub(crate) base: Option<ObjectId>,
}

/// Codes a piece, against a base of the same dtype and shape if it is given one. What comes back has been decoded and
/// compared.
///
/// # Errors
/// What the codec says, and any difference that the comparison finds.
pub(crate) fn encode(piece: Typed<'_>, base: Option<(ObjectId, &[u8])>, effort: Effort) -> Result<Coded, Problem> {
    let delta = match base {
        Some((id, bytes)) => compress(piece, Some(bytes), effort)?.map(|archive| (id, bytes, archive)),
        None => None,
    };
    let alone = match &delta {
        Some(_) => None,
        None => compress(piece, None, effort)?,
    };
    let mut object = Vec::new();
    let mut used = None;
    match (delta, alone) {
        (Some((id, bytes, archive)), _) if archive.len() + (LONGEST_HEAD as usize) < piece.bytes.len() => {
            object.push(DELTA);
            object.extend_from_slice(id.digest.as_bytes());
            object.extend_from_slice(&id.epoch.to_le_bytes());
            object.extend_from_slice(&archive);
            used = Some((id, bytes));
        }
        (_, Some(archive)) if archive.len() < piece.bytes.len() => {
            object.push(ALONE);
            object.extend_from_slice(&archive);
        }
        _ => {
            object.push(RAW);
            object.extend_from_slice(piece.bytes);
        }
    }
    let again = decode(&object, used.map(|(_, bytes)| bytes))?;
    if again != piece.bytes {
        return Err("what was coded does not decode to what it was made of".to_owned());
    }
    Ok(Coded { object, base: used.map(|(id, _)| id) })
}

/// The archive of a piece; with a base, only if the base is of use.
fn compress(piece: Typed<'_>, base: Option<&[u8]>, effort: Effort) -> Result<Option<Vec<u8>>, Problem> {
    let mut job = Compress::tensor(piece.dtype, piece.shape, base.is_some(), effort).map_err(|e| e.to_string())?;
    let mut archive = Vec::with_capacity(piece.bytes.len() / 2);
    run(&mut job, base, None, Some(piece.bytes), &mut archive)?;
    let by_base = |(method, _): (Method, usize)| matches!(method, Method::CopyBase | Method::Delta | Method::Predicted);
    let useful = base.is_none() || job.report().method_counts().into_iter().any(by_base);
    Ok(useful.then_some(archive))
}

/// The base that an object needs, by its first [`LONGEST_HEAD`] bytes.
pub(crate) fn base_of(head: &[u8]) -> Result<Option<ObjectId>, Problem> {
    match head.split_first() {
        Some((&(RAW | ALONE), _)) => Ok(None),
        Some((&DELTA, rest)) => {
            let (digest, rest) = rest.split_first_chunk::<32>().ok_or("it ends in its head")?;
            let epoch = rest.first_chunk().ok_or("it ends in its head")?;
            Ok(Some(ObjectId { digest: Digest::from(*digest), epoch: u32::from_le_bytes(*epoch) }))
        }
        Some((kind, _)) => Err(format!("it begins with {kind}")),
        None => Err("it is empty".to_owned()),
    }
}

/// The bytes of an object, given those of its base.
pub(crate) fn decode(object: &[u8], base: Option<&[u8]>) -> Result<Vec<u8>, Problem> {
    let archive = match (object.split_first(), base) {
        (Some((&RAW, bytes)), None) => return Ok(bytes.to_vec()),
        (Some((&ALONE, archive)), None) => archive,
        (Some((&DELTA, rest)), Some(_)) => rest.get(LONGEST_HEAD as usize - 1..).ok_or("it ends in its head")?,
        _ => return Err("its base does not fit".to_owned()),
    };
    let mut bytes = Vec::new();
    let lengths: Vec<u64> = base.iter().map(|base| base.len()).collect();
    run(&mut Restore::new(&lengths, archive.len() as u64), base, Some(archive), None, &mut bytes)?;
    Ok(bytes)
}

fn run(
    job: &mut dyn Job,
    base: Option<&[u8]>,
    delta: Option<&[u8]>,
    target: Option<&[u8]>,
    output: &mut Vec<u8>,
) -> Result<(), Problem> {
    let base: Vec<&dyn ReadAt> = base.iter().map(|base| base as &dyn ReadAt).collect();
    let sources = Sources {
        base: &base,
        delta: delta.as_ref().map(|delta| delta as &dyn ReadAt),
        target: target.as_ref().map(|target| target as &dyn ReadAt),
    };
    let mut go = || -> Result<(), DriveError> {
        drive::open(job, &sources)?;
        if target.is_none() {
            // Growing by and by would move every byte several times; what an archive claims is believed up to a point.
            output.reserve_exact(job.report().restored_bytes.min(MOST_RESERVED) as usize);
        }
        drive::drive(job, &sources, &Sequential, output, &mut |_| {})
    };
    go().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(seed: u16) -> Vec<u8> {
        (0..8192u32).flat_map(|i| (0x3C00 + (i.wrapping_mul(40503) >> 7) as u16 % 512 + seed).to_le_bytes()).collect()
    }

    #[test]
    fn the_smallest_way_is_taken_and_its_base_is_named() {
        let (base, target) = (weights(0), weights(1));
        let id = ObjectId { digest: Digest::of(&base), epoch: 3 };
        let piece = Typed { dtype: Dtype::BF16, shape: &[64, 128], bytes: &target };
        let delta = encode(piece, Some((id, &base)), Effort::Default).unwrap();
        assert_eq!((delta.base, base_of(&delta.object)), (Some(id), Ok(Some(id))));
        let alone = encode(piece, None, Effort::Default).unwrap();
        assert_eq!((alone.base, base_of(&alone.object)), (None, Ok(None)));
        assert!(delta.object.len() < alone.object.len() && alone.object.len() < target.len());
        assert_eq!(decode(&delta.object, Some(&base)), Ok(target));
        assert!(decode(&delta.object, None).is_err() && decode(&alone.object, Some(&base)).is_err());
    }

    #[test]
    fn a_base_of_no_use_is_not_kept() {
        let noise: Vec<u8> = (0..8u64).flat_map(|i| *Digest::of(&i.to_le_bytes()).as_bytes()).collect();
        let id = ObjectId { digest: Digest::of(b"other"), epoch: 0 };
        let other: Vec<u8> = noise.iter().rev().map(|byte| byte ^ 0x55).collect();
        let coded =
            encode(Typed { dtype: Dtype::U8, shape: &[256], bytes: &noise }, Some((id, &other)), Effort::Default);
        let coded = coded.unwrap();
        assert_eq!((coded.base, coded.object[0], coded.object.len()), (None, RAW, 257));
    }
}

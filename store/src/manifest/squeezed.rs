//! Compressed manifests. That of a file of many tensors is an object of kind 1, whose content is
//! the JSON. A shorter one is an object of kind 6, since the digests of an archive would take more
//! than the rest.

use std::borrow::Cow;

use bitx::Effort;
use bitx::layout::Dtype;
use bytes::Bytes;

use crate::codec::{self, Typed};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// The least length in bytes of a manifest that is compressed.
const LEAST: usize = 512;
/// The least length in bytes of one that becomes an archive.
const LEAST_ARCHIVE: usize = 16 << 10;
/// The most times that a manifest may be longer than its object. Names that count up take about a
/// twentieth.
const MOST_TIMES: u64 = 256;

/// The kind of an object that is a Zstandard frame, behind the first bytes of the frame's digest.
const FRAME: u8 = 6;
/// The number of bytes of this digest, by which a changed bit is noticed.
const DIGEST: usize = 8;
/// The level of compression, zrip's highest.
const LEVEL: i32 = 4;

/// Compresses a manifest, if it is not short and this helps.
pub(super) fn squeeze(json: Vec<u8>) -> Vec<u8> {
    let squeezed = match json.len() {
        ..LEAST => None,
        LEAST..LEAST_ARCHIVE => frame(&json),
        _ => archive(&json),
    };
    let fits = |object: &Vec<u8>| object.len() < json.len() && object.len() as u64 * MOST_TIMES >= json.len() as u64;
    squeezed.filter(fits).unwrap_or(json)
}

fn frame(json: &[u8]) -> Option<Vec<u8>> {
    let frame = zrip::compress(json, LEVEL).ok()?;
    let object = [&[FRAME], &Digest::of(&frame).as_bytes()[..DIGEST], &frame].concat();
    (unframe(&object, json.len()).ok()? == json).then_some(object)
}

fn archive(json: &[u8]) -> Option<Vec<u8>> {
    let bytes = Bytes::copy_from_slice(json);
    let shape = [bytes.len() as u64];
    let piece = Typed { dtype: Dtype::U8, shape: &shape, bytes: &bytes, digest: Digest::of(&bytes) };
    let object = codec::encode(piece, &[], Effort::Fast).ok()?.object.concat();
    codec::is_archive(&object).then_some(object)
}

/// The JSON of a manifest.
///
/// # Errors
/// `Damaged`.
pub(super) fn expand<'a>(key: &str, object: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let most = (object.len() as u64).saturating_mul(MOST_TIMES);
    let json = match object.first() {
        Some(&FRAME) => unframe(object, most as usize),
        _ if codec::is_archive(object) => {
            codec::decode_up_to(&Bytes::copy_from_slice(object), most).map(|json| json.into())
        }
        _ => return Ok(Cow::Borrowed(object)),
    };
    json.map(Cow::Owned).map_err(|problem| Error::damaged(key, problem))
}

fn unframe(object: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let (digest, frame) = object[1..].split_at_checked(DIGEST).ok_or("the object ends inside its digest")?;
    if Digest::of(frame).as_bytes()[..DIGEST] != *digest {
        return Err("the object does not match its digest".to_owned());
    }
    zrip::decompress_with_limit(frame, most).map_err(|error| error.to_string())
}

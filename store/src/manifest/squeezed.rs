//! The manifests of files of many tensors, which are compressed: as an object of kind 1, whose
//! content is the JSON.

use std::borrow::Cow;

use bitx::Effort;
use bitx::layout::Dtype;
use bytes::Bytes;

use crate::codec::{self, Typed};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// The least length in bytes of a manifest that is compressed.
const LEAST: usize = 16 << 10;
/// The most times that a manifest may be longer than its object. Names that count up take about a
/// twentieth.
const MOST_TIMES: u64 = 256;

/// Compresses a manifest, if it is long and this helps.
pub(super) fn squeeze(json: Vec<u8>) -> Vec<u8> {
    if json.len() < LEAST {
        return json;
    }
    let bytes = Bytes::from(json);
    let shape = [bytes.len() as u64];
    let piece = Typed { dtype: Dtype::U8, shape: &shape, bytes: &bytes, digest: Digest::of(&bytes) };
    match codec::encode(piece, &[], Effort::Fast).map(|coded| coded.object.concat()) {
        Ok(object) if codec::is_archive(&object) && object.len() as u64 * MOST_TIMES >= shape[0] => object,
        _ => bytes.into(),
    }
}

/// The JSON of a manifest.
///
/// # Errors
/// `Damaged`.
pub(super) fn expand<'a>(key: &str, object: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if !codec::is_archive(object) {
        return Ok(Cow::Borrowed(object));
    }
    let most = (object.len() as u64).saturating_mul(MOST_TIMES);
    let json = codec::decode_up_to(&Bytes::copy_from_slice(object), most);
    json.map(|json| Cow::Owned(json.into())).map_err(|problem| Error::damaged(key, problem))
}

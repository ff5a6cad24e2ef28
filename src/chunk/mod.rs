//! The codec of a chunk: turns the bytes of an element range, and those of the base, into a payload
//! and back.
//!
//! A chunk depends only on its payload, its base range and the factors of its region. So chunks are
//! coded in parallel and in any order, and each of them can be restored without the others.

/// Calls `$codec::$function` with the [`Word`](crate::delta::word::Word) type of `$width` bytes.
macro_rules! for_width {
    ($width:expr, $codec:tt::$function:ident($($argument:expr),*)) => {
        match $width {
            1 => $codec::$function::<u8>($($argument),*),
            2 => $codec::$function::<u16>($($argument),*),
            4 => $codec::$function::<u32>($($argument),*),
            _ => $codec::$function::<u64>($($argument),*),
        }
    };
}

mod blocks;
mod choice;
mod delta;
pub(crate) mod geometry;
mod grid;
mod integers;
mod list;
mod multiples;
mod narrow;
mod nibbles;
mod palette;
mod patch;
pub(crate) mod predicted;
mod repeats;
mod scales;
pub(crate) mod search;
mod solo;
mod sparse;
mod tokens;
mod uncertain;

pub(crate) use choice::{Against, encode};
pub(crate) use grid::integers::is_integer;
pub(crate) use grid::packed::{Ground, Side};

use crate::entropy::{rans, zstd};
use crate::error::{Error, Result};
use crate::layout::Dtype;
use crate::layout::dtype::Fields;
use crate::predict::Factors;
use crate::quant::format_of;
use crate::view::Relation;

/// The largest number of words in a chunk; a chunk of a matrix holds whole rows.
pub(crate) const CHUNK: u64 = 1 << 20;

/// The encoder's effort: more of it makes archives smaller and encoding slower.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Effort {
    /// Uses one context model and no search.
    Fast,
    /// Uses the better of two context models for each chunk.
    #[default]
    Default,
    /// Tries everything that can make an archive smaller.
    Max,
}

/// The way in which a chunk is stored; the numbers are those of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Method {
    /// The payload is the bytes of the chunk.
    Stored = 0,
    /// The payload is one zstd frame.
    Zstd = 1,
    /// The payload is empty: the chunk equals its base.
    Copy = 2,
    /// The payload holds deltas to the base.
    Delta = 3,
    /// The payload holds words that are coded without a base.
    Solo = 4,
    /// The payload is not a chunk: it holds the factors of the chunks that follow.
    Factors = 5,
    /// The payload holds deltas to the base after a prediction has moved it.
    Predicted = 6,
    /// The payload holds the words in a narrower dtype, coded by another method.
    Narrow = 7,
    /// The payload holds the distinct words, and the index of each word.
    Palette = 8,
    /// The payload holds copies from the base or from the chunk itself, and literals.
    Patch = 9,
    /// The payload holds the fields of quantised blocks, as distances in the grid of their levels.
    Grid = 10,
    /// The payload holds the differences of all half bytes to the base's.
    Nibbles = 11,
    /// The payload holds the places of the words that differ from the base's, and their
    /// differences.
    Sparse = 12,
    /// The payload holds the fields of quantised blocks, after a prediction has moved the base's
    /// weights.
    Moved = 13,
}

impl Method {
    /// Returns the method with this number.
    ///
    /// # Errors
    /// `Unsupported` for a number that no method has.
    pub(crate) fn from_number(number: u8) -> Result<Self> {
        let all = [
            Self::Stored,
            Self::Zstd,
            Self::Copy,
            Self::Delta,
            Self::Solo,
            Self::Factors,
            Self::Predicted,
            Self::Narrow,
            Self::Palette,
            Self::Patch,
            Self::Grid,
            Self::Nibbles,
            Self::Sparse,
            Self::Moved,
        ];
        all.into_iter()
            .find(|method| *method as u8 == number)
            .ok_or_else(|| Error::unsupported(format!("unknown method {number}")))
    }
}

/// The shape of a chunk: rows of equal length, of which the last may be short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// Words per row, at least 1.
    pub(crate) columns: usize,
}

/// Returns the number of words and of bytes in a unit of `dtype`: one word, or one block of words
/// that begins with a scale.
pub(crate) fn unit(dtype: Dtype) -> (u64, u64) {
    if dtype.is_scaled() { dtype.block() } else { (1, dtype.words().0 as u64) }
}

/// Buffers that decoding reuses from chunk to chunk.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    decoder: rans::Decoder,
    zstd: zstd::Decoder,
    bytes: Vec<u8>,
}

/// The inputs of a decoder besides the chunk's payload.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Given<'a> {
    /// The base range of the chunk. Its length is the chunk's, if they are related as words.
    pub(crate) base: Option<&'a [u8]>,
    /// The relation of the base range to the chunk.
    pub(crate) relation: Relation,
    /// The factors of the chunk's region.
    pub(crate) factors: Option<&'a Factors>,
    /// The tiles of packed numbers.
    pub(crate) side: Option<&'a Side>,
}

/// The length in bytes of `target` as a patch of `base`, at this effort.
pub(crate) fn patched(base: &[u8], target: &[u8], effort: Effort) -> usize {
    patch::encode(base, target, effort).len()
}

/// Returns true if a chunk of this method may need the factors of its region.
pub(crate) fn may_need_factors(method: Method) -> bool {
    matches!(method, Method::Predicted | Method::Narrow | Method::Moved)
}

/// Returns true if a chunk with this payload needs the factors of its region.
pub(crate) fn needs_factors(method: Method, payload: &[u8]) -> bool {
    may_need_factors(method) && (method != Method::Narrow || narrow::inner(payload) == Some(Method::Predicted))
}

/// Restores `target`, which has the length of the chunk, from a payload.
///
/// # Errors
/// `Corrupt`, `Truncated` or `Unsupported` for a damaged payload; `Corrupt` where `method` needs a
/// base or factors that are not given. The contents of `target` are then unspecified.
pub(crate) fn decode(
    method: Method,
    dtype: Dtype,
    matrix: Matrix,
    payload: &[u8],
    given: Given<'_>,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let resembling = given.base;
    if let Some(weights) = given.base.filter(|_| given.relation == Relation::Numbers) {
        return match (method, given.side) {
            (Method::Grid, Some(side)) => {
                grid::packed::decode(side, payload, Ground::Weights(weights), target, scratch)
            }
            (Method::Grid, None) => Err(Error::corrupt("a chunk of the grid is not one of packed numbers")),
            _ => decode(method, dtype, matrix, payload, Given::default(), target, scratch),
        };
    }
    if let Some(weights) = given.base.filter(|_| given.relation == Relation::Weights && is_integer(dtype)) {
        return match method {
            Method::Grid => grid::integers::decode(dtype, matrix, payload, weights, target, scratch),
            _ => decode(method, dtype, matrix, payload, Given::default(), target, scratch),
        };
    }
    let given = if given.relation == Relation::Bytes { Given::default() } else { given };
    match method {
        Method::Narrow => narrow::decode(dtype, matrix, payload, given, target, scratch),
        Method::Patch => patch::decode(payload, resembling.unwrap_or(&[]), target, scratch),
        Method::Factors => Err(Error::corrupt("the archive has factors in the place of a chunk")),
        Method::Grid if let Some(side) = given.side => {
            grid::packed::decode(side, payload, Ground::Numbers(needed(given.base)?), target, scratch)
        }
        Method::Grid => {
            let format = format_of(dtype).ok_or_else(|| Error::corrupt("a chunk of the grid is not one of blocks"))?;
            grid::decode(format, payload, grid::Base::of(given.relation, needed(given.base)?), target, scratch)
        }
        Method::Moved => {
            let format = format_of(dtype).filter(|_| given.relation == Relation::Words);
            let format = format.ok_or_else(|| Error::corrupt("a moved chunk is not one of blocks against blocks"))?;
            let factors = given.factors.ok_or_else(predicted::no_factors)?;
            grid::moved::decode((format, matrix), payload, needed(given.base)?, factors, target, scratch)
        }
        Method::Copy | Method::Delta | Method::Nibbles | Method::Sparse if given.relation == Relation::Weights => {
            Err(Error::corrupt("a chunk of blocks is coded as differences to weights"))
        }
        _ => decode_plain(method, dtype, matrix, payload, given, target, scratch),
    }
}

fn needed(base: Option<&[u8]>) -> Result<&[u8]> {
    base.ok_or_else(|| Error::corrupt("the chunk's method needs a base, and the tensor has none"))
}

/// Does the same as [`decode`], for the methods that may be within another one.
fn decode_plain(
    method: Method,
    dtype: Dtype,
    matrix: Matrix,
    payload: &[u8],
    Given { base, factors, .. }: Given<'_>,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let (width, fields) = dtype.words();
    match method {
        Method::Stored if payload.len() == target.len() => target.copy_from_slice(payload),
        Method::Stored => {
            return Err(Error::corrupt("a stored chunk has the wrong length").figures(target.len(), payload.len()));
        }
        Method::Zstd => {
            scratch.bytes.clear();
            scratch.zstd.decode(payload, target.len(), &mut scratch.bytes)?;
            target.copy_from_slice(&scratch.bytes);
        }
        Method::Copy if payload.is_empty() => target.copy_from_slice(needed(base)?),
        Method::Copy => {
            return Err(Error::corrupt("the payload of a copied chunk is not empty").figures(0, payload.len()));
        }
        Method::Delta if dtype.is_scaled() && dtype != Dtype::Q8_0 => {
            return Err(Error::corrupt("a chunk of blocks is coded as deltas"));
        }
        Method::Nibbles => nibbles::decode(payload, needed(base)?, target, scratch)?,
        Method::Sparse if dtype.is_scaled() => {
            return Err(Error::corrupt("a chunk of blocks is coded as sparse words"));
        }
        Method::Sparse => sparse::decode_any((width, fields), payload, needed(base)?, target, scratch)?,
        Method::Delta => {
            let base = needed(base)?;
            if dtype == Dtype::Q8_0 {
                blocks::decode(matrix, payload, base, target, scratch)?;
            } else {
                delta::decode_any((width, fields), matrix, payload, base, target, scratch)?;
            }
        }
        Method::Predicted => {
            let factors = factors.ok_or_else(predicted::no_factors)?;
            if !Factors::moves(dtype) {
                return Err(Error::corrupt("a predicted chunk has a wrong dtype").figures("floats", dtype.name()));
            }
            predicted::decode(dtype, matrix, payload, needed(base)?, factors, target, scratch)?;
        }
        Method::Solo | Method::Palette if dtype.is_scaled() => {
            return Err(Error::corrupt("a chunk of blocks with scales is coded as words"));
        }
        Method::Solo if fields == Fields::Integer => {
            delta::decode_alone_any((width, fields), matrix, payload, target, scratch)?;
        }
        Method::Solo => for_width!(width, solo::decode(matrix, payload, target, scratch))?,
        Method::Palette => for_width!(width, palette::decode(matrix, payload, base, target, scratch))?,
        _ => return Err(Error::corrupt("the method within a narrow chunk is not allowed there")),
    }
    Ok(())
}

#[cfg(all(test, feature = "libzstd"))]
mod oracles;
#[cfg(test)]
mod tests;

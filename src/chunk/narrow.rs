//! A chunk whose words are all exactly words of a narrower dtype: it is coded in that dtype, and
//! restored by the exact conversion back.
//!
//! The payload holds the number of the narrower dtype, the number of an inner method, where the
//! words are [multiples](super::multiples) their scales, and to its end the payload of the inner
//! method. A base is rounded to the narrower dtype, so that the inner method may be a delta.

use super::choice::{Against, encode_plain};
use super::multiples::Multiples;
use super::{Effort, Given, Matrix, Method, Scratch, decode_plain};
use crate::bytes::ByteReader;
use crate::cast::{can_cast, cast};
use crate::error::{Error, Result};
use crate::layout::Dtype;

use Dtype::{BF16, F8_E4M3, F8_E5M2, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};

/// Number of words that are tried before all of them are.
const SAMPLE: usize = 256;

/// Returns the dtypes that a word of `dtype` may be converted to, the best ones first.
fn narrower(dtype: Dtype) -> &'static [Dtype] {
    match dtype {
        F64 => &[F8_E5M2, F8_E4M3, BF16, F16, F32],
        F32 => &[F8_E5M2, F8_E4M3, BF16, F16],
        // BF16 has fewer bits of mantissa, if not fewer bits.
        F16 => &[F8_E5M2, F8_E4M3, BF16],
        BF16 => &[F8_E5M2, F8_E4M3],
        I64 | U64 => &[I8, U8, I16, U16, I32, U32],
        I32 | U32 => &[I8, U8, I16, U16],
        I16 | U16 => &[I8, U8],
        _ => &[],
    }
}

/// A conversion between a dtype and a narrower one.
#[derive(Debug)]
pub(super) enum Conversion {
    /// A cast of floats, or an integer of fewer bytes.
    Cast,
    /// Floats as integers times a scale.
    Multiples(Multiples),
}

impl Conversion {
    /// Writes words of `narrow` as those of `dtype`.
    fn widen(&self, (narrow, dtype): (Dtype, Dtype), words: &[u8], target: &mut [u8]) {
        match self {
            Self::Cast if can_cast(narrow, dtype) => cast(narrow, dtype, words, target),
            Self::Cast => convert((narrow, dtype), words, target),
            Self::Multiples(multiples) => multiples.restore((narrow, dtype), words, target),
        }
    }

    /// Rounds words of `dtype` to those of `narrow`.
    fn narrow(&self, (dtype, narrow): (Dtype, Dtype), words: &[u8]) -> Vec<u8> {
        let mut narrowed = vec![0; words.len() / dtype.words().0 * narrow.words().0];
        match self {
            Self::Cast if can_cast(dtype, narrow) => cast(dtype, narrow, words, &mut narrowed),
            Self::Cast => convert((dtype, narrow), words, &mut narrowed),
            Self::Multiples(multiples) => multiples.divide((dtype, narrow), words, &mut narrowed),
        }
        narrowed
    }
}

/// Returns true for a dtype of integers that have a sign.
fn is_signed(dtype: Dtype) -> bool {
    matches!(dtype, I8 | I16 | I32 | I64)
}

/// Converts integers; those that do not fit become the nearest one that does.
fn convert((from, to): (Dtype, Dtype), source: &[u8], target: &mut [u8]) {
    let (width, bytes) = (from.words().0, to.words().0);
    let (least, most) = match is_signed(to) {
        true => (-1i128 << (8 * bytes - 1), (1i128 << (8 * bytes - 1)) - 1),
        false => (0, (1i128 << (8 * bytes)) - 1),
    };
    for (target, source) in target.chunks_exact_mut(bytes).zip(source.chunks_exact(width)) {
        let negative = is_signed(from) && source[width - 1] >= 0x80;
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..width].copy_from_slice(source);
        target.copy_from_slice(&i128::from_le_bytes(wide).clamp(least, most).to_le_bytes()[..bytes]);
    }
}

/// Returns the narrowest dtype that holds all words of `target` exactly, and the words in it;
/// `None` if there is none.
fn find_cast(dtype: Dtype, target: &[u8]) -> Option<(Dtype, Vec<u8>)> {
    let width = dtype.words().0;
    let words = target.len() / width;
    let every = (words / SAMPLE).max(1);
    let sample: Vec<u8> = target.chunks_exact(width).step_by(every).flatten().copied().collect();
    let exactly = |narrow: Dtype, words: &[u8]| {
        let narrowed = Conversion::Cast.narrow((dtype, narrow), words);
        let mut widened = vec![0; words.len()];
        Conversion::Cast.widen((narrow, dtype), &narrowed, &mut widened);
        (widened == words).then_some(narrowed)
    };
    narrower(dtype).iter().find_map(|&narrow| {
        exactly(narrow, &sample)?;
        Some((narrow, exactly(narrow, target)?))
    })
}

/// Returns the narrowest dtype that holds all words of `target` exactly, and base and target in it;
/// `None` if there is none.
pub(super) fn both(dtype: Dtype, base: &[u8], target: &[u8]) -> Option<(Dtype, [Vec<u8>; 2])> {
    let (narrow, target) = find_cast(dtype, target)?;
    Some((narrow, [Conversion::Cast.narrow((dtype, narrow), base), target]))
}

/// Returns the narrowest dtype that holds all words of `target` exactly, the words in it, and the
/// conversion; `None` if there is none.
fn find(dtype: Dtype, matrix: Matrix, target: &[u8], effort: Effort) -> Option<(Dtype, Vec<u8>, Conversion)> {
    let cast = find_cast(dtype, target).map(|(narrow, words)| (narrow, words, Conversion::Cast));
    let byte = cast.as_ref().is_some_and(|(narrow, ..)| narrow.words().0 == 1);
    if effort == Effort::Fast || byte {
        return cast;
    }
    let multiples = Multiples::find(dtype, matrix, target)
        .filter(|(narrow, ..)| cast.as_ref().is_none_or(|(cast, ..)| narrow.words().0 < cast.words().0));
    multiples.map(|(narrow, words, multiples)| (narrow, words, Conversion::Multiples(multiples))).or(cast)
}

/// Encodes `target`, whose length is above 0, and returns the payload; `None` if its words are not
/// all words of a narrower dtype.
pub(super) fn encode(
    dtype: Dtype,
    matrix: Matrix,
    Against { base, fit, .. }: Against<'_>,
    target: &[u8],
    effort: Effort,
) -> Result<Option<Vec<u8>>> {
    let Some((narrow, words, conversion)) = find(dtype, matrix, target, effort) else { return Ok(None) };
    let base = base.map(|base| conversion.narrow((dtype, narrow), base));
    let against = Against { base: base.as_deref(), fit, ..Against::default() };
    let (method, inner) = encode_plain(narrow, matrix, against, &words, effort)?;
    let mut payload = vec![narrow.number(), method as u8];
    if let Conversion::Multiples(multiples) = &conversion {
        multiples.write(dtype, &mut payload);
    }
    payload.extend(inner);
    Ok(Some(payload))
}

/// Restores `target` from the payload that [`encode`] returned.
pub(super) fn decode(
    dtype: Dtype,
    matrix: Matrix,
    payload: &[u8],
    Given { base, factors, .. }: Given<'_>,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let number = payload.u8()?;
    let narrow = Dtype::from_number(number).ok_or_else(|| Error::unsupported(format!("unknown dtype {number}")))?;
    let method = Method::from_number(payload.u8()?)?;
    let count = target.len() / dtype.words().0;
    let conversion = if narrower(dtype).contains(&narrow) {
        Conversion::Cast
    } else if Multiples::are(dtype, narrow) {
        Conversion::Multiples(Multiples::read(dtype, matrix, count, &mut payload, scratch)?)
    } else {
        let found = format_args!("{} in {}", narrow.name(), dtype.name()).to_string();
        return Err(Error::corrupt("the dtype within a narrow chunk is not narrower").figures("a narrower one", found));
    };
    let base = base.map(|base| conversion.narrow((dtype, narrow), base));
    let mut words = vec![0; count * narrow.words().0];
    let given = Given { base: base.as_deref(), factors, ..Given::default() };
    decode_plain(method, narrow, matrix, payload.rest(), given, &mut words, scratch)?;
    conversion.widen((narrow, dtype), &words, target);
    Ok(())
}

/// Returns the inner method of a payload.
pub(super) fn inner(payload: &[u8]) -> Option<Method> {
    payload.get(1).and_then(|&method| Method::from_number(method).ok())
}

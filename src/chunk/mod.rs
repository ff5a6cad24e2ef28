//! The codec of a chunk: from the bytes of an element range, and the base's, to a payload and back.
//!
//! A chunk depends on nothing but its payload and its base range: chunks are coded in parallel, in any
//! order, and one can be had without the others.

/// Calls `$codec::$function` for the word of `$width` bytes.
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
mod delta;
pub(crate) mod geometry;
mod integers;
pub(crate) mod predicted;
mod scales;
pub(crate) mod search;
mod solo;
mod tokens;

use crate::entropy::{rans, zstd};
use crate::error::{Error, Result};
use crate::layout::Dtype;
use crate::layout::dtype::Fields;
use crate::predict::Factors;
use crate::predict::fit::Fit;

/// Elements of a chunk, at most; chunks of matrices hold whole rows.
pub(crate) const CHUNK: u64 = 1 << 20;

/// How hard the encoder tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Effort {
    /// One context model, no search.
    Fast,
    /// The better of two context models per chunk.
    #[default]
    Default,
    /// Everything that makes archives smaller.
    Max,
}

/// How a chunk is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Method {
    /// The bytes themselves.
    Stored = 0,
    /// A zstd frame.
    Zstd = 1,
    /// Nothing: the chunk equals its base.
    Copy = 2,
    /// Deltas to the base.
    Delta = 3,
    /// Floats without a base.
    Solo = 4,
    /// No chunk of its own: the factors of the chunks that follow.
    Factors = 5,
    /// Deltas to the base, moved by a prediction.
    Predicted = 6,
}

impl Method {
    /// The method of that number.
    pub(crate) fn from_number(number: u8) -> Result<Self> {
        let all = [Self::Stored, Self::Zstd, Self::Copy, Self::Delta, Self::Solo, Self::Factors, Self::Predicted];
        all.get(usize::from(number)).copied().ok_or_else(|| Error::unsupported(format!("unknown method {number}")))
    }
}

/// The shape of a chunk's elements: rows of so many columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// Elements per row, at least 1.
    pub(crate) columns: usize,
}

/// The words of a dtype's unit and its bytes: one word, or a block of words that begins with a scale.
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

/// What a chunk is coded from besides its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Against<'a> {
    /// Its base range, of the same length.
    pub(crate) base: Option<&'a [u8]>,
    /// What its region is predicted by.
    pub(crate) fit: Option<&'a Fit>,
}

/// The method and payload that store `target` smallest.
pub(crate) fn encode(
    dtype: Dtype,
    matrix: Matrix,
    Against { base, fit }: Against<'_>,
    target: &[u8],
    effort: Effort,
) -> Result<(Method, Vec<u8>)> {
    if target.is_empty() {
        return Ok((Method::Stored, Vec::new()));
    }
    if base == Some(target) {
        return Ok((Method::Copy, Vec::new()));
    }
    let (width, fields) = dtype.words();
    let mut best: Option<(Method, Vec<u8>)> = None;
    let mut offer = |method, payload: Vec<u8>| {
        if best.as_ref().is_none_or(|(_, least)| payload.len() < least.len()) {
            best = Some((method, payload));
        }
        best.as_ref().is_none_or(|(_, least)| least.len() * 2 > target.len())
    };
    let mut weak = true;
    let mut predicted = false;
    if let (Some(base), Some(fit)) = (base, fit)
        && let Some(payload) = predicted::encode(dtype, matrix, base, target, fit, effort)
    {
        predicted = true;
        weak = offer(Method::Predicted, payload);
    }
    if let (Some(base), true) = (base, effort == Effort::Max || !predicted || weak) {
        weak = offer(
            Method::Delta,
            if dtype.is_scaled() {
                blocks::encode(matrix, base, target, effort)
            } else {
                delta::encode_any((width, fields), matrix, base, target, effort)
            },
        );
    }
    match fields {
        Fields::Float { mantissa } if weak => {
            weak = offer(Method::Solo, for_width!(width, solo::encode(mantissa, matrix, target, effort)));
        }
        _ => {}
    }
    if fields == Fields::Integer || effort == Effort::Max && weak {
        offer(Method::Zstd, zstd::encode(target, zstd::LEVEL)?);
    }
    Ok(best.filter(|(_, least)| least.len() < target.len()).unwrap_or_else(|| (Method::Stored, target.to_vec())))
}

/// What a chunk is restored from besides its payload.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Given<'a> {
    /// Its base range, of the same length.
    pub(crate) base: Option<&'a [u8]>,
    /// The factors of its region.
    pub(crate) factors: Option<&'a Factors>,
}

/// Restores `target` from a payload.
pub(crate) fn decode(
    method: Method,
    dtype: Dtype,
    matrix: Matrix,
    payload: &[u8],
    Given { base, factors }: Given<'_>,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let (width, fields) = dtype.words();
    let need_base = || base.ok_or_else(|| Error::corrupt("the chunk's method needs a base, and the tensor has none"));
    match method {
        Method::Stored if payload.len() == target.len() => target.copy_from_slice(payload),
        Method::Stored => return Err(Error::corrupt("stored bytes of a chunk").figures(target.len(), payload.len())),
        Method::Zstd => {
            scratch.bytes.clear();
            scratch.zstd.decode(payload, target.len(), &mut scratch.bytes)?;
            target.copy_from_slice(&scratch.bytes);
        }
        Method::Copy if payload.is_empty() => target.copy_from_slice(need_base()?),
        Method::Copy => return Err(Error::corrupt("stored bytes of a copied chunk").figures(0, payload.len())),
        Method::Delta => {
            let base = need_base()?;
            if dtype.is_scaled() {
                blocks::decode(matrix, payload, base, target, scratch)?;
            } else {
                delta::decode_any((width, fields), matrix, payload, base, target, scratch)?;
            }
        }
        Method::Predicted => {
            let factors = factors.ok_or_else(|| Error::corrupt("the chunk's method needs factors"))?;
            if !Factors::moves(dtype) {
                return Err(Error::corrupt("weights of this type are not predicted").figures("floats", dtype.name()));
            }
            let base = need_base()?;
            predicted::decode(dtype, matrix, payload, base, factors, target, scratch)?;
        }
        Method::Factors => return Err(Error::corrupt("factors in place of a chunk")),
        Method::Solo if dtype.is_scaled() => return Err(Error::corrupt("blocks with a scale are not coded alone")),
        Method::Solo => for_width!(width, solo::decode(matrix, payload, target, scratch))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Elements that move by a few steps, and specials.
    fn pair(width: usize, count: usize) -> (Vec<u8>, Vec<u8>) {
        let mut seed = 7u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 24
        };
        let mut base: Vec<u8> = (0..width * count).map(|_| next() as u8).collect();
        let mut target = base.clone();
        target
            .chunks_exact_mut(width)
            .for_each(|element| element[0] = element[0].wrapping_add((next() & next() & 15) as u8));
        for special in [&[0u8; 8], &[0xff; 8], &[0x80, 0x7f, 0x80, 0x7f, 0x80, 0x7f, 0xf0, 0x7f]] {
            let at = next() as usize % count * width;
            base[at..at + width].copy_from_slice(&special[..width]);
            let at = next() as usize % count * width;
            target[at..at + width].copy_from_slice(&special[..width]);
        }
        (base, target)
    }

    const DTYPES: [Dtype; 10] = [
        Dtype::BOOL,
        Dtype::I8,
        Dtype::F8_E4M3,
        Dtype::F8_E5M2,
        Dtype::I16,
        Dtype::F16,
        Dtype::BF16,
        Dtype::F32,
        Dtype::F64,
        Dtype::I64,
    ];

    #[test]
    fn every_dtype_comes_back_with_and_without_a_base() {
        let mut scratch = Scratch::default();
        for dtype in DTYPES {
            for (count, columns) in [(1, 1), (3, 3), (1000, 40), (5000, 50), (9001, 9001)] {
                let (base, target) = pair(dtype.words().0, count);
                let matrix = Matrix { columns };
                for effort in [Effort::Fast, Effort::Default, Effort::Max] {
                    for base in [Some(base.as_slice()), None] {
                        let (method, payload) =
                            encode(dtype, matrix, Against { base, fit: None }, &target, effort).unwrap();
                        assert!(payload.len() <= target.len());
                        let mut restored = vec![0; target.len()];
                        let given = Given { base, factors: None };
                        decode(method, dtype, matrix, &payload, given, &mut restored, &mut scratch).unwrap();
                        assert!(restored == target, "{dtype:?} {count} {effort:?} {method:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn small_moves_are_small_in_every_dtype() {
        for dtype in DTYPES {
            let (base, target) = pair(dtype.words().0, 20_000);
            let against = Against { base: Some(&base), fit: None };
            let (method, payload) = encode(dtype, Matrix { columns: 100 }, against, &target, Effort::Default).unwrap();
            assert_eq!(method, Method::Delta, "{dtype:?}");
            assert!(payload.len() < 20_000 * 5 / 8, "{dtype:?}: {}", payload.len());
        }
    }

    #[test]
    fn damaged_payloads_never_panic() {
        let mut scratch = Scratch::default();
        let (base, target) = pair(2, 3000);
        let matrix = Matrix { columns: 30 };
        for base in [Some(base.as_slice()), None] {
            let (method, payload) =
                encode(Dtype::BF16, matrix, Against { base, fit: None }, &target, Effort::Max).unwrap();
            let mut restored = vec![0; target.len()];
            let mut try_it = |payload: &[u8]| {
                let given = Given { base, factors: None };
                decode(method, Dtype::BF16, matrix, payload, given, &mut restored, &mut scratch)
            };
            for length in 0..payload.len() {
                try_it(&payload[..length]).expect_err("a truncation");
            }
            for bit in 0..payload.len() * 8 {
                let mut flipped = payload.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let _ = try_it(&flipped);
            }
        }
    }
}

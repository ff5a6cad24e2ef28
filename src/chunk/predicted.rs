//! Chunks whose base is moved by a low-rank prediction, and the factors that they share.
//!
//! The payload of factors holds the rank (one byte), the step (four bytes), a shift for each
//! component (one byte each) and the numbers of `V`. The payload of a chunk holds a length-prefixed
//! string with the chunk's numbers of `U`, and to its end the deltas to the moved base.

use super::delta::{self, Base, Coding};
use super::{Effort, Matrix, Scratch, integers};
use crate::bytes::{ByteReader, put_prefixed};
use crate::delta::word::Word;
use crate::error::{Error, Result};
use crate::layout::Dtype;
use crate::predict::Factors;
use crate::predict::fit::Fit;
use crate::predict::stored::StoredFactors;

/// The largest shift that a component may have.
const MAX_SHIFT: u8 = 15;

/// Returns the payload that stores `factors`, and the bytes that its checksum covers.
pub(super) fn write_factors(factors: &StoredFactors, matrix: Matrix) -> (Vec<u8>, Vec<u8>) {
    let mut payload = vec![factors.shifts.len() as u8];
    payload.extend_from_slice(&factors.step.to_le_bytes());
    payload.extend_from_slice(&factors.shifts);
    integers::write(&mut payload, &factors.numbers, matrix.columns);
    (payload, covered(&factors.shifted(matrix.columns).unwrap_or_default()))
}

/// Returns the bytes that the checksum of factors covers: the shifted numbers of `V`.
fn covered(shifted: &[i16]) -> Vec<u8> {
    shifted.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// Reads the factors of a payload. Returns them and the bytes that the payload's checksum covers.
///
/// # Errors
/// `Corrupt` or `Truncated` for a damaged payload, and for one whose rank is not the index's
/// `rank`.
pub(crate) fn read_factors(
    matrix: Matrix,
    rank: u8,
    payload: &[u8],
    scratch: &mut Scratch,
) -> Result<(Factors, Vec<u8>)> {
    let mut payload = ByteReader::new(payload);
    // The rank of the index is known to be within the limits, so the payload's is compared with it
    // first.
    let found = payload.u8()?;
    if found != rank {
        return Err(Error::corrupt("the rank of the factors differs from the index").figures(rank, found));
    }
    let rank = usize::from(rank);
    let step = f32::from_le_bytes(*payload.take(4)?.first_chunk().unwrap_or(&[0; 4]));
    if !(step > 0.0 && step.is_finite()) {
        // The message has the bits in hexadecimal: printing floats takes more code than this whole
        // module.
        let found = format_args!("{:08x}", step.to_bits()).to_string();
        return Err(Error::corrupt("the step of the factors is out of range").figures("positive and finite", found));
    }
    let shifts = payload.take(rank as u64)?.to_vec();
    if let Some(shift) = shifts.iter().find(|&&shift| shift > MAX_SHIFT) {
        let expected = format_args!("{MAX_SHIFT} at most");
        return Err(Error::corrupt("the shift of a component is too large").figures(expected, shift));
    }
    let numbers = integers::read(&mut payload, rank * matrix.columns, matrix.columns, scratch)?;
    payload.finish()?;
    let stored = StoredFactors { step, shifts, numbers };
    let shifted = stored
        .shifted(matrix.columns)
        .ok_or_else(|| Error::corrupt("a number of the factors does not fit 16 bits after its shift"))?;
    Ok((stored.factors(matrix.columns, &shifted), covered(&shifted)))
}

/// Encodes `target` against `base`, moved by the numbers of `U` that fit best, and returns the
/// payload; `None` for a dtype whose weights [cannot be moved](Factors::moves).
pub(super) fn encode(
    dtype: Dtype,
    matrix: Matrix,
    base: &[u8],
    target: &[u8],
    fit: &Fit,
    effort: Effort,
) -> Option<Vec<u8>> {
    let u = fit.numbers_between(dtype, base, target)?;
    let mut payload = write_rows(&u, fit.factors.rank());
    payload.extend(match dtype.words().0 {
        2 => encode_moved::<u16>(dtype, matrix, base, (&fit.factors, &u), target, effort),
        4 => encode_moved::<u32>(dtype, matrix, base, (&fit.factors, &u), target, effort),
        _ => encode_moved::<u64>(dtype, matrix, base, (&fit.factors, &u), target, effort),
    });
    Some(payload)
}

/// Returns the numbers of `U`, which begin a payload.
pub(super) fn write_rows(u: &[i16], rank: usize) -> Vec<u8> {
    let (mut numbers, mut payload) = (Vec::new(), Vec::new());
    integers::write(&mut numbers, u, u.len() / rank);
    put_prefixed(&mut payload, &numbers);
    payload
}

/// Reads the numbers of `U` of `rows` rows, which [`write_rows`] wrote.
pub(super) fn read_rows(
    payload: &mut ByteReader<'_>,
    rows: usize,
    factors: &Factors,
    scratch: &mut Scratch,
) -> Result<Vec<i16>> {
    let mut numbers = ByteReader::new(payload.prefixed()?);
    let u = integers::read(&mut numbers, rows * factors.rank(), rows, scratch)?;
    numbers.finish()?;
    Ok(u)
}

/// The error of a chunk whose region lacks the factors that it needs.
pub(super) fn no_factors() -> Error {
    Error::corrupt("the chunk's method needs factors, and the region has none")
}

/// Encodes `target` against its base, moved strip by strip.
fn encode_moved<W: Word>(
    dtype: Dtype,
    matrix: Matrix,
    base: &[u8],
    (factors, u): (&Factors, &[i16]),
    target: &[u8],
    effort: Effort,
) -> Vec<u8> {
    let base = Base { fill: &mover(dtype, base, factors, u), bytes: base };
    delta::encode_moved::<W>(coding_of(dtype), matrix, &base, target, effort)
}

fn coding_of(dtype: Dtype) -> Coding<'static> {
    Coding { fields: dtype.words().1, blocks: None }
}

/// Returns a function that fills words of the moved base from the word of the given number on.
fn mover<W: Word>(dtype: Dtype, base: &[u8], factors: &Factors, u: &[i16]) -> impl Fn(usize, &mut [W]) {
    move |start, words| {
        let (place, count) = (start * W::BYTES, size_of_val(words));
        factors.apply(dtype, u, start, &base[place..place + count], bytemuck::cast_slice_mut(words));
        words.iter_mut().for_each(|word| *word = word.little());
    }
}

/// Restores `target` from its base, its factors and the payload that [`encode`] returned.
pub(super) fn decode(
    dtype: Dtype,
    matrix: Matrix,
    payload: &[u8],
    base: &[u8],
    factors: &Factors,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let rows = (base.len() / dtype.words().0).div_ceil(matrix.columns);
    let mut payload = ByteReader::new(payload);
    let u = read_rows(&mut payload, rows, factors, scratch)?;
    let deltas = payload.rest();
    match dtype.words().0 {
        2 => decode_moved::<u16>(dtype, matrix, deltas, base, (factors, &u), target, scratch),
        4 => decode_moved::<u32>(dtype, matrix, deltas, base, (factors, &u), target, scratch),
        _ => decode_moved::<u64>(dtype, matrix, deltas, base, (factors, &u), target, scratch),
    }
}

/// Restores `target` from its base, moved strip by strip, and the deltas to that.
fn decode_moved<W: Word>(
    dtype: Dtype,
    matrix: Matrix,
    deltas: &[u8],
    base: &[u8],
    (factors, u): (&Factors, &[i16]),
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let base = Base { fill: &mover(dtype, base, factors, u), bytes: base };
    delta::decode_moved::<W>(coding_of(dtype), matrix, deltas, &base, target, scratch)
}

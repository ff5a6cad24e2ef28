//! A chunk of integers of 8 bits against the weights that they were quantised from: each is a
//! weight divided by the scale of its group, rounded, plus the zero point of its group.
//!
//! The payload holds the groups; how their scales follow from the weights, and the scales'
//! distances from that; the zero points; and the list of the integers.

mod fit;

use super::super::{Matrix, Scratch, list};
use super::expect::{Expected, Model, uniform};
use super::{list as list_of, read};
use crate::bytes::{ByteReader, put_varint};
use crate::error::{Error, Result};
use crate::layout::Dtype;

/// The words that share a scale and a zero point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Groups {
    /// All words of the chunk.
    One,
    /// The words of a column.
    Columns(usize),
    /// The words of a row of so many columns.
    Rows(usize),
}

/// The number that a group's scale is guessed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// The largest magnitude of a weight.
    Largest,
    /// The difference of the greatest and the least weight, of which one counts as 0 if all weights
    /// are on one side of it.
    Range,
}

/// The scales and zero points of a chunk.
#[derive(Debug, Clone, PartialEq)]
struct Steps {
    groups: Groups,
    scales: Vec<f32>,
    /// The integer of the weight 0, counted from the least integer.
    zeros: Vec<u8>,
}

/// The mark of scales that are coded as distances from what is expected.
const NEAR: u8 = 0;

/// The mark of scales that are stored.
const STORED: u8 = 1;

/// The zero point that is expected first: the middle.
const MIDDLE: u8 = 128;

impl Groups {
    /// The number of groups of a chunk of `count` words.
    fn count(self, count: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Columns(columns) => columns.min(count),
            Self::Rows(columns) => count.div_ceil(columns),
        }
    }

    /// The group of a word.
    #[inline(always)]
    fn of(self, word: usize) -> usize {
        match self {
            Self::One => 0,
            Self::Columns(columns) => word % columns,
            Self::Rows(columns) => word / columns,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::One => 0,
            Self::Columns(_) => 1,
            Self::Rows(_) => 2,
        }
    }

    fn from_number(number: u8, columns: usize) -> Result<Self> {
        match number {
            0 => Ok(Self::One),
            1 => Ok(Self::Columns(columns)),
            2 => Ok(Self::Rows(columns)),
            other => Err(Error::unsupported(format!("groups of kind {other} are unknown"))),
        }
    }
}

/// Returns true for the dtypes whose words may be quantised weights.
pub(crate) fn is_integer(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::I8 | Dtype::U8)
}

/// The least integer of a dtype, as the bits of a word.
fn least(dtype: Dtype) -> u8 {
    if dtype == Dtype::I8 { 0x80 } else { 0 }
}

fn weights_of(base: &[u8]) -> Vec<f32> {
    let weights = base.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    weights.map(|weight| if weight.is_finite() { weight } else { 0.0 }).collect()
}

/// The scales that are expected of groups: their spans, divided by `divisor`.
fn expected_scales(groups: Groups, weights: &[f32], span: Span, divisor: u16) -> Vec<f32> {
    spans(groups, weights, span).iter().map(|span| span / f32::from(divisor)).collect()
}

fn spans(groups: Groups, weights: &[f32], span: Span) -> Vec<f32> {
    let mut extremes = vec![(0f32, 0f32); groups.count(weights.len())];
    for (word, &weight) in weights.iter().enumerate() {
        let (least, greatest) = &mut extremes[groups.of(word)];
        *least = least.min(weight);
        *greatest = greatest.max(weight);
    }
    let span = |(least, greatest): (f32, f32)| match span {
        Span::Largest => greatest.max(-least),
        Span::Range => greatest - least,
    };
    extremes.into_iter().map(span).collect()
}

/// The expected integers, counted from the least one.
fn expected(steps: &Steps, weights: &[f32]) -> Expected {
    let (mut expected, mut distances) = (Expected::default(), Vec::with_capacity(weights.len()));
    for (word, &weight) in weights.iter().enumerate() {
        let group = steps.groups.of(word);
        let (near, f) = step_of(weight, steps.scales[group], steps.zeros[group]);
        expected.push(near.into(), f < 0.0, 0);
        distances.push(f);
    }
    Model::Border.add(&distances, &mut expected.contexts);
    expected
}

/// The integer that a weight is rounded to, and the weight's distance from it in steps.
#[inline(always)]
fn step_of(weight: f32, scale: f32, zero: u8) -> (u8, f32) {
    let x = weight / scale;
    if x.is_finite() { uniform(255, zero)(x) } else { (zero, 0.0) }
}

/// Encodes `target`, words of a dtype that [`is_integer`], against as many weights, and returns the
/// payload.
pub(in super::super) fn encode(dtype: Dtype, matrix: Matrix, base: &[u8], target: &[u8]) -> Vec<u8> {
    let weights = weights_of(base);
    let integers: Vec<u8> = target.iter().map(|word| word ^ least(dtype)).collect();
    let (steps, span, divisor) = fit::fit(matrix, &weights, &integers);
    let mut payload = vec![steps.groups.number(), u8::from(span == Span::Range)];
    put_varint(&mut payload, divisor.into());
    write_scales(&mut payload, &steps.scales, &expected_scales(steps.groups, &weights, span, divisor));
    let before = std::iter::once(MIDDLE).chain(steps.zeros.iter().copied());
    list_of(steps.zeros.iter().map(|&zero| zero.into()), &plain(before.take(steps.zeros.len()).map(i16::from)))
        .write(&mut payload);
    let expected = expected(&steps, &weights);
    list_of(integers.iter().map(|&integer| integer.into()), &expected).write(&mut payload);
    payload
}

/// Expectations of which nothing more is known.
fn plain(numbers: impl Iterator<Item = i16>) -> Expected {
    let mut expected = Expected::default();
    numbers.for_each(|number| expected.push(number, false, 0));
    expected
}

fn write_scales(payload: &mut Vec<u8>, scales: &[f32], expected: &[f32]) {
    let pairs = scales.iter().zip(expected);
    let distance = |(scale, expected): (&f32, &f32)| scale.to_bits().wrapping_sub(expected.to_bits()) as i32;
    let distances: Option<Vec<i16>> = pairs.map(|pair| i16::try_from(distance(pair)).ok()).collect();
    match distances {
        Some(distances) => {
            payload.push(NEAR);
            let nothing = plain(distances.iter().map(|_| 0));
            list_of(distances.into_iter(), &nothing).write(payload);
        }
        None => {
            payload.push(STORED);
            scales.iter().for_each(|scale| payload.extend(scale.to_le_bytes()));
        }
    }
}

fn read_scales(payload: &mut ByteReader<'_>, expected: &[f32], scratch: &mut Scratch) -> Result<Vec<f32>> {
    match payload.u8()? {
        NEAR => {
            let distances = read(payload, &mut plain(expected.iter().map(|_| 0)), scratch)?;
            let pairs = expected.iter().zip(distances);
            Ok(pairs.map(|(near, distance)| f32::from_bits(near.to_bits().wrapping_add(distance as u32))).collect())
        }
        STORED => {
            let bytes = payload.take(4 * expected.len() as u64)?;
            Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
        other => Err(Error::unsupported(format!("scales of kind {other} are unknown"))),
    }
}

/// Restores `target` from its base and the payload that [`encode`] returned.
pub(in super::super) fn decode(
    dtype: Dtype,
    matrix: Matrix,
    payload: &[u8],
    base: &[u8],
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let weights = weights_of(base);
    let groups = Groups::from_number(payload.u8()?, matrix.columns)?;
    let span = match payload.u8()? {
        0 => Span::Largest,
        1 => Span::Range,
        other => return Err(Error::unsupported(format!("spans of kind {other} are unknown"))),
    };
    let divisor = u16::try_from(payload.varint()?).ok().filter(|&divisor| divisor > 0);
    let divisor = divisor.ok_or_else(|| Error::corrupt("the divisor of the scales is impossible"))?;
    let scales = read_scales(&mut payload, &expected_scales(groups, &weights, span, divisor), scratch)?;
    let zeros = read_zeros(&mut payload, scales.len(), scratch)?;
    let steps = Steps { groups, scales, zeros };
    let integers = read(&mut payload, &mut expected(&steps, &weights), scratch)?;
    payload.finish()?;
    target.iter_mut().zip(integers).for_each(|(word, integer)| *word = integer as u8 ^ least(dtype));
    Ok(())
}

fn read_zeros(payload: &mut ByteReader<'_>, count: usize, scratch: &mut Scratch) -> Result<Vec<u8>> {
    let distances = list::read(payload, vec![0; count], scratch)?;
    let mut zero = MIDDLE.into();
    let next = |residue| {
        zero = super::number(residue, zero, 0);
        zero as u8
    };
    Ok(distances.into_iter().map(next).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights that look like nothing in particular, around 0, a row larger than the one before.
    fn weights(columns: usize, rows: usize) -> Vec<f32> {
        let mut state = 5u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0 - 0.5
        };
        (0..columns * rows)
            .map(|i| (next() + next() + next()) * (0.1 + (i / columns + i % columns) as f32 * 0.01))
            .collect()
    }

    fn bytes(weights: &[f32]) -> Vec<u8> {
        weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
    }

    /// The weights as a quantiser makes integers of them, with these spans and this zero point.
    fn quantised(weights: &[f32], groups: Groups, (span, divisor): (Span, u16), zero: u8, dtype: Dtype) -> Vec<u8> {
        let scales = expected_scales(groups, weights, span, divisor);
        let steps = Steps { groups, zeros: vec![zero; scales.len()], scales };
        expected(&steps, weights).numbers.iter().map(|&number| number as u8 ^ least(dtype)).collect()
    }

    fn restored(dtype: Dtype, columns: usize, base: &[u8], payload: &[u8]) -> Result<Vec<u8>> {
        let mut target = vec![0; base.len() / 4];
        decode(dtype, Matrix { columns }, payload, base, &mut target, &mut Scratch::default())?;
        Ok(target)
    }

    #[test]
    fn integers_of_every_kind_of_group_cost_little() {
        let (columns, rows) = (40, 100);
        let weights = weights(columns, rows);
        for groups in [Groups::One, Groups::Columns(columns), Groups::Rows(columns)] {
            for (dtype, scale, zero) in [
                (Dtype::I8, (Span::Largest, 127), 128),
                (Dtype::I8, (Span::Largest, 64), 128),
                (Dtype::U8, (Span::Range, 255), 120),
                (Dtype::U8, (Span::Largest, 127), 128),
            ] {
                let target = quantised(&weights, groups, scale, zero, dtype);
                let payload = encode(dtype, Matrix { columns }, &bytes(&weights), &target);
                assert!(restored(dtype, columns, &bytes(&weights), &payload).unwrap() == target);
                assert!(payload.len() < 40, "{groups:?} {dtype:?} {scale:?}: {}", payload.len());
            }
        }
    }

    #[test]
    fn other_scales_and_some_other_integers_come_back() {
        let weights = weights(64, 64);
        let mut target = quantised(&weights, Groups::Rows(64), (Span::Largest, 127), 128, Dtype::U8);
        target.iter_mut().step_by(50).for_each(|word| *word = word.wrapping_add(1));
        let moved: Vec<f32> = weights.iter().map(|weight| weight * 1.003).collect();
        let payload = encode(Dtype::U8, Matrix { columns: 64 }, &bytes(&moved), &target);
        assert!(restored(Dtype::U8, 64, &bytes(&moved), &payload).unwrap() == target);
        assert!(payload.len() < target.len() / 8, "{}", payload.len());
    }

    #[test]
    fn weights_without_a_scale_come_back() {
        for weight in [0.0, f32::NAN, f32::INFINITY, f32::from_bits(1), f32::MAX] {
            let (base, target) = (bytes(&[weight; 70]), (0..70).collect::<Vec<u8>>());
            let payload = encode(Dtype::I8, Matrix { columns: 7 }, &base, &target);
            assert!(restored(Dtype::I8, 7, &base, &payload).unwrap() == target, "{weight}");
        }
    }

    #[test]
    fn damaged_payloads_never_panic() {
        let weights = weights(16, 5);
        let base = bytes(&weights[..77]);
        for groups in [Groups::One, Groups::Columns(16), Groups::Rows(16)] {
            let target = quantised(&weights[..77], groups, (Span::Largest, 127), 128, Dtype::I8);
            let payload = encode(Dtype::I8, Matrix { columns: 16 }, &base, &target);
            (0..payload.len()).for_each(|end| drop(restored(Dtype::I8, 16, &base, &payload[..end]).unwrap_err()));
            for bit in 0..payload.len() * 8 {
                let mut flipped = payload.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let _ = restored(Dtype::I8, 16, &base, &flipped);
            }
        }
    }
}

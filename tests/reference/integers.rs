//! The method grid for integers that are quantised weights.

use super::fields::{Fields, unzigzag};
use super::grid::{Expected, fields_of, list};
use super::{Result, check};

pub fn grid(dtype: u8, columns: usize, payload: &[u8], base: &[u8]) -> Result<Vec<u8>> {
    let weights = base.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap()));
    let weights: Vec<f32> = weights.map(|weight| if weight.is_finite() { weight } else { 0.0 }).collect();
    let mut fields = Fields::new(payload);
    let kind = fields.byte()?;
    check(kind <= 2, "groups of an unknown kind")?;
    let group = |word: usize| [0, word % columns, word / columns][usize::from(kind)];
    let groups = 1 + (0..weights.len()).map(group).max().unwrap_or(0);
    let span = fields.byte()?;
    check(span <= 1, "a span of an unknown kind")?;
    let divisor = fields.varint()?;
    check((1..=65_535).contains(&divisor), "a divisor")?;
    let expected: Vec<f32> = (0..groups)
        .map(|number| {
            let own =
                || weights.iter().enumerate().filter(|(word, _)| group(*word) == number).map(|(_, weight)| *weight);
            let (least, greatest) = (own().fold(0f32, f32::min), own().fold(0f32, f32::max));
            (if span == 0 { greatest.max(-least) } else { greatest - least }) / divisor as f32
        })
        .collect();
    let scales = read_scales(&mut fields, &expected)?;
    let zeros = read_zeros(&mut fields, groups)?;
    let expected: Vec<Expected> = (0..weights.len())
        .map(|word| expectation(weights[word] / scales[group(word)], i32::from(zeros[group(word)])))
        .collect();
    let numbers = fields_of(&mut fields, &expected)?;
    fields.finish()?;
    let least = if dtype == 5 { -128 } else { 0 };
    Ok(numbers.into_iter().map(|number| (number + least) as u8).collect())
}

fn read_scales(fields: &mut Fields, expected: &[f32]) -> Result<Vec<f32>> {
    let kind = fields.byte()?;
    check(kind <= 1, "scales of an unknown kind")?;
    if kind == 1 {
        let scale = |_: &f32| Ok(f32::from_le_bytes(fields.take(4)?.try_into().unwrap()));
        return expected.iter().map(scale).collect();
    }
    let distances = list(fields, &vec![0; expected.len()])?;
    let pairs = expected.iter().zip(distances);
    let scale = |(near, z): (&f32, u16)| f32::from_bits(near.to_bits().wrapping_add(unzigzag(z.into()) as u32));
    Ok(pairs.map(scale).collect())
}

fn read_zeros(fields: &mut Fields, groups: usize) -> Result<Vec<u8>> {
    let mut zero = 128i16;
    let distances = list(fields, &vec![0; groups])?;
    let next = |z: u16| {
        zero = zero.wrapping_add(unzigzag(z.into()) as i16);
        zero as u8
    };
    Ok(distances.into_iter().map(next).collect())
}

/// The integer that is expected of a weight of `y` steps.
fn expectation(y: f32, zero: i32) -> Expected {
    if !y.is_finite() {
        return (zero, 1, 0);
    }
    let y = y.clamp(-zero as f32, (255 - zero) as f32);
    let (x, f) = (y.round_ties_even(), y - y.round_ties_even());
    let size = i64::from((0.5 - f.abs()).max(0.0).to_bits() >> 22);
    (x as i32 + zero, if f < 0.0 { -1 } else { 1 }, (252 - size).clamp(0, 23) as usize)
}

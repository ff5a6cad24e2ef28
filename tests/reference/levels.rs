//! The numbers of packings, and the levels that they stand for.

use super::chunk::Coding;
use super::grid::size;
use super::quant;

const E2M1: [f32; 16] = [-6., -4., -3., -2., -1.5, -1., -0.5, -0., 0., 0.5, 1., 1.5, 2., 3., 4., 6.];

pub const NF4: [f32; 16] = [
    -1.,
    -0.6961928,
    -0.52507305,
    -0.3949175,
    -0.28444138,
    -0.18477343,
    -0.091050036,
    0.,
    0.0795803,
    0.1609302,
    0.2461123,
    0.33791524,
    0.44070983,
    0.562617,
    0.72295684,
    1.,
];

/// Bits of a number of a packing.
pub fn bits(kind: u8) -> u32 {
    match kind {
        0..=6 | 13 | 16 | 17 | 27..=29 => 4,
        19 | 23..=26 => 2,
        20 => 3,
        21 => 5,
        22 => 6,
        _ => 8,
    }
}

/// Tells whether tiles of a packing have biases.
pub fn has_biases(kind: u8) -> bool {
    matches!(kind, 13 | 14 | 19..=22)
}

/// Tells whether tiles of a packing have zero points.
pub fn has_zeros(kind: u8) -> bool {
    matches!(kind, 2 | 3 | 4 | 8 | 9 | 15 | 17 | 18 | 24..=26 | 28)
}

/// Tells whether a packing has groups.
pub fn has_groups(kind: u8) -> bool {
    matches!(kind, 17 | 18 | 26)
}

/// The scale that a factor makes of a stored one.
pub fn factored(kind: u8, scale: f32, factor: f32) -> f32 {
    if kind == 27 { scale / factor } else { scale * factor }
}

/// The place of the zero point of a tile, of which so many are side by side.
pub fn place_of_zero(kind: u8, tile: usize, across: usize) -> usize {
    match kind {
        4 => tile / 8 * 8 + [0, 4, 1, 5, 2, 6, 3, 7][tile % 8],
        28 => {
            let (row, column) = (tile / across, tile % across);
            8 * (row / 8 * across + column) + row % 8
        }
        _ => tile,
    }
}

/// The bytes of some numbers, of which the last one may be filled in part.
pub fn bytes_of(kind: u8, numbers: usize) -> usize {
    (numbers * bits(kind) as usize).div_ceil(8)
}

/// The numbers of bytes.
pub fn numbers(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let bits = bits(kind) as usize;
    let bit = |place: usize| bytes[place / 8] >> (place % 8) & 1;
    let number = |place: usize| (0..bits).map(|i| bit(place * bits + i) << i).sum();
    (0..bytes.len() * 8 / bits).map(number).collect()
}

/// The inverse of [`numbers`].
pub fn stored(kind: u8, numbers: &[u8]) -> Vec<u8> {
    let bits = bits(kind) as usize;
    let mut bytes = vec![0; numbers.len() * bits / 8];
    for place in 0..bytes.len() * 8 {
        bytes[place / 8] |= (numbers[place / bits] >> (place % bits) & 1) << (place % 8);
    }
    bytes
}

/// Tells whether a region of the dtype may have the numbers of a packing.
pub fn takes(kind: u8, dtype: u8) -> bool {
    match kind {
        11 => dtype == 7,
        12 => dtype == 6,
        _ => Coding::of(dtype).mantissa.is_none() && quant::format(dtype).is_none(),
    }
}

/// The level of an index.
pub fn level(kind: u8, index: u8) -> f32 {
    match kind {
        5 | 16 => NF4[usize::from(index)],
        6 | 27 => E2M1[usize::from(index)],
        11 | 12 if index < 128 => -float(kind, 127 - index),
        11 | 12 => float(kind, index - 128),
        kind => f32::from(index) - f32::from(zero(kind)),
    }
}

/// The index of a stored number.
pub fn index(kind: u8, number: u8) -> u8 {
    match kind {
        6 | 27 if number < 8 => 8 + number,
        6 | 27 => 15 - number,
        7 | 8 => number ^ 128,
        29 => number ^ 8,
        11 | 12 if number < 128 => 128 + number,
        11 | 12 => 255 - number,
        _ => number,
    }
}

/// A number of the dynamic map.
pub fn dynamic(place: u8) -> f32 {
    let n = i32::from(place) - 127;
    let size = match n.abs() {
        0 => 0.0,
        128 => 1.0,
        m => {
            let i = (0..7).rev().find(|i| m >= 1 << i).unwrap();
            let j = m - (1 << i);
            let t = (2 * j + 1) as f32 / (2 << i) as f32;
            (t * 0.9 + 0.1) * ["1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1"][i].parse::<f32>().unwrap()
        }
    };
    if n < 0 { -size } else { size }
}

/// The context of model 3.
pub fn stepped(f: f32, a: f32, own: i64, middle: i64) -> usize {
    let f = f.abs();
    let class = [0.0001, 0.125, 0.25].iter().filter(|least| f >= **least).count();
    24 * class + (size(a) + own - middle + 12).clamp(0, 23) as usize
}

/// The exponent of a float of 8 bits without its sign, at least 1.
pub fn exponent(kind: u8, magnitude: u8) -> u8 {
    (magnitude / if kind == 11 { 8 } else { 4 }).max(1)
}

/// The value of a float of 8 bits without its sign, as if none were infinite or no number.
pub fn float(kind: u8, magnitude: u8) -> f32 {
    let (mantissa, bias) = if kind == 11 { (8, 7 + 3) } else { (4, 15 + 2) };
    let exponent = exponent(kind, magnitude);
    let whole = i32::from(magnitude) - mantissa * (i32::from(exponent) - 1);
    whole as f32 * 2f32.powi(i32::from(exponent) - bias)
}

/// The index of level 0.
pub fn zero(kind: u8) -> u8 {
    match kind {
        0 | 29 => 8,
        1 => 7,
        3 | 15 | 17 | 18 | 25 | 26 => 1,
        23 => 2,
        7 | 8 | 10 => 128,
        _ => 0,
    }
}

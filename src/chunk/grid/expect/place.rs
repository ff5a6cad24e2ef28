//! The places of weights among levels: the nearest level, and the distance from it.

use crate::quant::formats::Float;
use crate::quant::{Levels, round_small};

/// Finds the levels nearest to all places, which become the distances from them. The place NaN is
/// that of no weight: it gets the level nearest to 0, and stays NaN.
///
/// Distances are in steps, and at most a half. Beyond the last level the distance is 0.
#[inline(always)]
pub(super) fn place_all(levels: &Levels, places: &mut [f32], numbers: &mut [i16], signs: &mut [i16]) {
    let zero = levels.zero();
    match levels {
        Levels::Uniform { last, zero: middle } => {
            let place = uniform(*last, *middle);
            place_by(|x, _| place(x), zero, places, numbers, signs);
        }
        Levels::Book(values) => {
            count_below(&values[1..15], places, numbers);
            place_by(|x, below| in_book(values, x, below as usize), zero, places, numbers, signs);
        }
        Levels::Float(float) => {
            let place = among_floats(*float);
            place_by(|x, _| place(x), zero, places, numbers, signs);
        }
    }
}

/// Places all weights by `place`, which also gets a weight's number so far.
#[inline(always)]
fn place_by(
    place: impl Fn(f32, i16) -> (u8, f32),
    zero: u8,
    places: &mut [f32],
    numbers: &mut [i16],
    signs: &mut [i16],
) {
    for ((x, number), sign) in places.iter_mut().zip(numbers).zip(signs) {
        let known = !x.is_nan();
        let (near, f) = place(if known { *x } else { 0.0 }, *number);
        *number = i16::from(if known { near } else { zero });
        *sign = -i16::from(known & (f < 0.0));
        *x = if known { f } else { f32::NAN };
    }
}

/// `x` between `least` and `greatest`, in two operations of a processor.
#[inline(always)]
fn between(x: f32, least: f32, greatest: f32) -> f32 {
    let x = if x > least { x } else { least };
    if x < greatest { x } else { greatest }
}

/// The index of the level nearest to a place, and the distance from it, where levels are uniform.
#[inline(always)]
pub(in super::super) fn uniform(last: u8, zero: u8) -> impl Fn(f32) -> (u8, f32) {
    let (least, greatest) = (-f32::from(zero), f32::from(last) - f32::from(zero));
    move |x| {
        let x = between(x, least, greatest);
        let (near, integer) = round_small(x);
        ((integer as u8).wrapping_add(zero), x - near)
    }
}

#[inline(always)]
fn among_floats(float: Float) -> impl Fn(f32) -> (u8, f32) {
    let greatest = float.value(float.last);
    move |x| {
        let magnitude = x.abs();
        let (near, f) = float.place(if magnitude < greatest { magnitude } else { greatest });
        if x.is_sign_negative() { (127 - near, -f) } else { (128 + near, f) }
    }
}

/// Counts the values that are not above each place. Every value is looked at, without a branch.
#[inline(always)]
fn count_below(values: &[f32], places: &[f32], numbers: &mut [i16]) {
    numbers.fill(0);
    for &value in values {
        numbers.iter_mut().zip(places).for_each(|(number, &x)| *number += i16::from(value <= x));
    }
}

/// The place in a code book of ascending values, given how many of them but the first one are not
/// above it.
#[inline(always)]
fn in_book(values: &[f32; 16], x: f32, below: usize) -> (u8, f32) {
    let x = between(x, values[0], values[15]);
    let (low, high) = (values[below & 15], values[(below + 1) & 15]);
    let gap = high - low;
    let nearer_to_low = (x - low) * 2.0 <= gap;
    let (near, distance) = if nearer_to_low { (below, x - low) } else { (below + 1, x - high) };
    (near as u8, distance / gap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::formats::FORMATS;
    use crate::quant::packed::PACKINGS;

    /// Every level is its own place, and what lies between two levels is nearest to one of them.
    #[test]
    fn places_are_the_nearest_levels() {
        let levels = FORMATS.iter().map(|format| (&format.levels, format.levels.zero()));
        for (levels, zero) in levels.chain(PACKINGS.iter().map(|packing| (&packing.levels, packing.levels.zero()))) {
            let value = |index: u8| levels.value(index);
            let last = match levels {
                Levels::Uniform { last, .. } => *last,
                Levels::Book(_) => 15,
                Levels::Float(float) => 128 + float.last,
            };
            let first = if matches!(levels, Levels::Float(_)) { 255 - last } else { 0 };
            let mut places: Vec<f32> = (first..=last).map(value).collect();
            for index in first..last {
                let (low, high) = (value(index), value(index + 1));
                places.extend([0.1, 0.4, 0.5, 0.6, 0.9].map(|share| low + (high - low) * share));
            }
            places.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e30, -1e-30]);
            let (mut distances, mut numbers) = (places.clone(), vec![0; places.len()]);
            let mut signs = vec![1; places.len()];
            place_all(levels, &mut distances, &mut numbers, &mut signs);
            for (i, &x) in places.iter().enumerate() {
                if x.is_nan() {
                    assert!(distances[i].is_nan() && numbers[i] == i16::from(zero) && signs[i] == 0);
                    continue;
                }
                let away = |index: u8| (value(index) - x.clamp(value(first), value(last))).abs();
                let (near, distance) = (numbers[i] as u8, distances[i]);
                assert!((first..=last).all(|other| away(near) <= away(other)), "{levels:?}: {x} is at {near}");
                assert!(distance.abs() <= 0.5 && signs[i] == -i16::from(distance < 0.0));
                assert_eq!(distance == 0.0, away(near) == 0.0, "{levels:?}: {x} is at {near}");
            }
        }
    }
}

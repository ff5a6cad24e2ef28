//! The expectations of a chunk's fields: a number for each, and a context that tells how sure it
//! is. Encoder and decoder compute them from the base and from the fields that come before.

use super::ground::Ground;
use crate::quant::{Blocks, Levels, Minimum, finite, rint};

/// The expectations of a list of fields.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) numbers: Vec<i16>,
    /// True where a difference downwards is likelier, and differences are therefore negated.
    pub(super) negated: Vec<bool>,
    pub(super) contexts: Vec<u8>,
}

impl Expected {
    fn with_capacity(count: usize) -> Self {
        let (numbers, negated) = (Vec::with_capacity(count), Vec::with_capacity(count));
        Self { numbers, negated, contexts: Vec::with_capacity(count) }
    }

    /// Appends what is expected of further fields of the same list.
    pub(super) fn append(&mut self, mut other: Self) {
        self.numbers.append(&mut other.numbers);
        self.negated.append(&mut other.negated);
        self.contexts.append(&mut other.contexts);
    }

    /// Forgets all expectations.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.negated.clear();
        self.contexts.clear();
    }

    pub(super) fn push(&mut self, number: i16, negated: bool, context: u8) {
        self.numbers.push(number);
        self.negated.push(negated);
        self.contexts.push(context);
    }
}

impl Expected {
    /// Appends `count` fields that are to be set.
    #[inline(always)]
    pub(super) fn more(&mut self, count: usize) -> impl Iterator<Item = ((&mut i16, &mut bool), &mut u8)> {
        let (start, end) = (self.numbers.len(), self.numbers.len() + count);
        self.numbers.resize(end, 0);
        self.negated.resize(end, false);
        self.contexts.resize(end, 0);
        self.numbers[start..].iter_mut().zip(&mut self.negated[start..]).zip(&mut self.contexts[start..])
    }

    /// Appends what is expected of indices, given the places of their weights among the levels, of
    /// which none is NaN.
    #[inline(always)]
    fn extend(&mut self, levels: &Levels, model: Model, step: u16, places: impl ExactSizeIterator<Item = f32>) {
        let fields = self.more(places.len());
        for (x, ((number, negated), context)) in places.zip(fields) {
            let (near, f) = place(levels, x);
            (*number, *negated, *context) = (near.into(), f < 0.0, model.context(f, step));
        }
    }
}

/// Contexts of the scales of blocks: half of the exponent.
const SCALES: u8 = 16;

/// The first context of sub-minima.
const MINIMA: u8 = 0;

/// The class of a distance `f` to a level, in steps: 0 to 10. There is no branch, since it could
/// not be predicted.
#[inline(always)]
fn bin(f: f32) -> u8 {
    let f = f.abs();
    let beyond = |least: f32| u8::from(f >= least);
    beyond(1e-4) + beyond(1.0 / 64.0) + beyond(1.0 / 32.0) + (f * 16.0).min(7.0) as u8
}

/// The place of an `F16` in the order of values, without its `shift` low bits.
pub(super) fn order(word: u16, shift: u32) -> i16 {
    let magnitude = ((word & 0x7fff) >> shift) as i16;
    if word >> 15 == 1 { -1 - magnitude } else { magnitude }
}

/// The inverse of [`order`].
pub(super) fn word(order: i16, shift: u32) -> u16 {
    if order < 0 { ((-1 - order) as u16) << shift & 0x7fff | 0x8000 } else { (order as u16) << shift & 0x7fff }
}

/// The expected scales of blocks, or with `minima` their minima.
pub(super) fn words(words: &[u16], shift: u32, minima: bool) -> Expected {
    let mut expected = Expected::with_capacity(words.len());
    for &base in words {
        let exponent = (base >> 10 & 31) as u8;
        let context = if minima { SCALES + exponent / 4 } else { exponent / 2 };
        expected.push(order(base, shift), base >> 15 == 1, context);
    }
    expected
}

/// The expected sub-scales of groups, given the target's scales.
pub(super) fn sub_scales(ground: &Ground<'_>, target: &Blocks) -> Expected {
    let Some(sub) = target.format.sub else { return Expected::default() };
    let mut expected = Expected::with_capacity(target.sub_scales.len());
    for group in 0..target.sub_scales.len() {
        let scale = finite(target.scales[group / target.format.groups()]);
        let x = ground.sub_scale(group, scale).clamp(sub.range.0.into(), sub.range.1.into());
        let x = if x.is_nan() { 0.0 } else { x };
        let near = rint(x);
        expected.push(near as i16, x < near, bin(x - near));
    }
    expected
}

/// The expected sub-minima of groups, given the target's minima, and how far the sub-scales were
/// from what was expected of them.
pub(super) fn sub_minima(ground: &Ground<'_>, target: &Blocks, sub_scales: &Expected) -> Expected {
    let Minimum::PerGroup(_, sub) = target.format.minimum else { return Expected::default() };
    let mut expected = Expected::with_capacity(target.sub_minima.len());
    for group in 0..target.sub_minima.len() {
        let minimum = finite(target.minima[group / target.format.groups()]);
        let x = ground.sub_minimum(group, minimum).clamp(sub.range.0.into(), sub.range.1.into());
        let x = if x.is_nan() { 0.0 } else { x };
        let near = rint(x);
        let moved = target.sub_scales[group].wrapping_sub(sub_scales.numbers[group]).clamp(-3, 3);
        let context = MINIMA + 7 * (moved + 3) as u8 + side(x - near);
        expected.push(near as i16, false, context);
    }
    expected
}

/// The class of a signed distance: 0 to 6.
fn side(f: f32) -> u8 {
    let size = if f == 0.0 {
        return 0;
    } else if f.abs() > 0.3 {
        3
    } else if f.abs() > 0.12 {
        2
    } else {
        1
    };
    if f > 0.0 { size } else { size + 3 }
}

/// The contexts of indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    /// The distance to the level.
    Distance,
    /// The distance, and the size of a step in half octaves around this one.
    DistanceAndStep(u16),
    /// The distance to the border between two levels, in half octaves.
    Border,
    /// The distance in four classes, and the size of a step in half octaves around this one.
    Step(u16),
}

/// The size of a step in half octaves.
pub(super) fn half_octaves(step: f32) -> u16 {
    (step.abs().to_bits() >> 22) as u16
}

impl Model {
    /// The context of an index whose weight has not moved.
    #[inline(always)]
    pub(super) fn still(self, step: u16) -> u8 {
        if matches!(self, Self::Step(_)) { self.context(0.0, step) } else { 0 }
    }

    #[inline(always)]
    pub(super) fn context(self, f: f32, step: u16) -> u8 {
        match self {
            Self::Distance => bin(f),
            Self::DistanceAndStep(middle) => 8 * bin(f) + (i32::from(step) - i32::from(middle) + 4).clamp(0, 7) as u8,
            Self::Border => {
                const HALF: i32 = (0.5f32.to_bits() >> 22) as i32;
                (HALF - i32::from(half_octaves((0.5 - f.abs()).max(0.0)))).clamp(0, 23) as u8
            }
            Self::Step(middle) => {
                let f = f.abs();
                let class = u8::from(f >= 1e-4) + u8::from(f >= 0.125) + u8::from(f >= 0.25);
                24 * class + (i32::from(step) - i32::from(middle) + 12).clamp(0, 23) as u8
            }
        }
    }
}

/// The expected indices, given all other fields of the target.
pub(super) fn indices(ground: &Ground<'_>, target: &Blocks, model: Model) -> Expected {
    let format = target.format;
    let count = target.indices.len();
    let mut expected = Expected::with_capacity(count);
    for group in 0..count / format.group {
        let range = group * format.group..(group + 1) * format.group;
        let (a, c) = target.affine(group);
        let (inverse, step) = (1.0 / a, half_octaves(a));
        match ground {
            Ground::Blocks(base) => {
                let (base_a, base_c) = base.affine(group);
                let (scale, shift) = (base_a * inverse, (base_c - c) * inverse);
                let own = &base.indices[range];
                let still = base_a == a && base_c == c;
                if still || !scale.is_finite() || !shift.is_finite() {
                    own.iter().for_each(|&index| expected.push(index.into(), false, model.still(step)));
                    continue;
                }
                let places = own.iter().map(|&index| format.levels.value(index) * scale + shift);
                expected.extend(&format.levels, model, step, places);
            }
            Ground::Weights(_) | Ground::Moved(..) => {
                for &weight in &ground.weights()[range] {
                    let x = (weight - c) * inverse;
                    if !x.is_finite() {
                        expected.push(format.levels.zero().into(), false, 0);
                        continue;
                    }
                    let (near, f) = place(&format.levels, x);
                    expected.push(near.into(), f < 0.0, model.context(f, step));
                }
            }
        }
    }
    expected
}

/// The index of the level nearest to `x`, and the distance from it in steps, which is at most a
/// half. Beyond the last level the distance is 0.
#[inline(always)]
pub(super) fn place(levels: &Levels, x: f32) -> (u8, f32) {
    match levels {
        Levels::Uniform { last, zero } => {
            let zero = i32::from(*zero);
            let x = x.clamp(-zero as f32, (i32::from(*last) - zero) as f32);
            let near = rint(x);
            ((near as i32 + zero) as u8, x - near)
        }
        Levels::Book(values) => {
            let level = |i: usize| values[i];
            let x = x.clamp(level(0), level(15));
            let below = (1..15).filter(|&i| level(i) <= x).count();
            let (low, high) = (level(below), level(below + 1));
            let gap = high - low;
            if (x - low) * 2.0 <= gap { (below as u8, (x - low) / gap) } else { (below as u8 + 1, (x - high) / gap) }
        }
        Levels::Float(float) => {
            let (magnitude, f) = float.place(x.abs());
            if x.is_sign_negative() { (127 - magnitude, -f) } else { (128 + magnitude, f) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_distances_have_these_bounds() {
        let classes = [0.0, 9e-5, 1e-4, 0.0156, 0.015625, 0.0312, 0.03125, 0.0624, 0.0625, 0.12, 0.43, 0.4375, 0.5];
        assert_eq!(classes.map(bin), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 9, 10, 10]);
        assert_eq!(classes.map(|f| bin(-f)), classes.map(bin));
    }
}

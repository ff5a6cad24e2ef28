//! The expectations of a chunk's fields: a number for each, and a context that tells how sure it
//! is. Encoder and decoder compute them from the base and from the fields that come before.

mod indices;
mod model;
mod place;
mod strip;

pub(super) use indices::Indices;
pub(super) use model::{Model, half_octaves};
pub(super) use place::uniform;
pub(super) use strip::Strip;

use super::ground::Ground;
use crate::quant::{BlockFields, Levels, Minimum, finite};

/// The expectations of a list of fields.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Expected {
    pub(super) numbers: Vec<i16>,
    /// -1 where a difference downwards is likelier, and differences are therefore negated; else 0.
    pub(super) signs: Vec<i16>,
    pub(super) contexts: Vec<u8>,
}

impl Expected {
    fn with_capacity(count: usize) -> Self {
        let (numbers, signs) = (Vec::with_capacity(count), Vec::with_capacity(count));
        Self { numbers, signs, contexts: Vec::with_capacity(count) }
    }

    /// Appends what is expected of further fields of the same list.
    pub(super) fn append(&mut self, mut other: Self) {
        self.numbers.append(&mut other.numbers);
        self.signs.append(&mut other.signs);
        self.contexts.append(&mut other.contexts);
    }

    /// Makes room for the expectations of `count` fields, which are to be set.
    pub(super) fn resize(&mut self, count: usize) {
        self.numbers.resize(count, 0);
        self.signs.resize(count, 0);
        self.contexts.resize(count, 0);
    }

    pub(super) fn push(&mut self, number: i16, negated: bool, context: u8) {
        self.numbers.push(number);
        self.signs.push(-i16::from(negated));
        self.contexts.push(context);
    }
}

/// Contexts of the scales of blocks: half of the exponent.
const SCALES: u8 = 16;

/// The first context of sub-minima.
const MINIMA: u8 = 0;

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
pub(super) fn sub_scales(ground: &Ground<'_>, target: &BlockFields) -> Expected {
    let Some(sub) = target.format.sub else { return Expected::default() };
    let mut strip = subs(target, sub.range, &target.scales, |block, scale, wanted| {
        ground.subs(false, block, scale, wanted);
    });
    strip.add_distances(Model::Distance);
    strip.expected
}

/// The expected sub-minima of groups, given the target's minima, and how far the sub-scales were
/// from what was expected of them.
pub(super) fn sub_minima(ground: &Ground<'_>, target: &BlockFields, sub_scales: &Expected) -> Expected {
    let Minimum::PerGroup(_, sub) = target.format.minimum else { return Expected::default() };
    let Strip { mut expected, places, .. } = subs(target, sub.range, &target.minima, |block, minimum, wanted| {
        ground.subs(true, block, minimum, wanted);
    });
    let moves = target.sub_scales.iter().zip(&sub_scales.numbers);
    for ((context, distance), (sub_scale, near)) in expected.contexts.iter_mut().zip(places).zip(moves) {
        let moved = sub_scale.wrapping_sub(*near).clamp(-3, 3);
        *context = MINIMA + 7 * (moved + 3) as u8 + side(distance);
    }
    expected.signs.fill(0);
    expected
}

/// Expects numbers of groups, within `range`, which `want` tells for each block and its scale.
fn subs(target: &BlockFields, range: (i16, i16), scales: &[u16], want: impl Fn(usize, f32, &mut [f32])) -> Strip {
    let mut strip = Strip::default();
    let groups = target.format.groups();
    strip.resize(scales.len() * groups);
    for ((block, &scale), wanted) in scales.iter().enumerate().zip(strip.places.chunks_exact_mut(groups)) {
        want(block, finite(scale), wanted);
    }
    let levels = Levels::Uniform { last: (range.1 - range.0) as u8, zero: -range.0 as u8 };
    strip.place(&levels);
    strip.expected.numbers.iter_mut().for_each(|number| *number += range.0);
    strip
}

/// The class of a signed distance: 0 to 6, and 0 for NaN.
fn side(f: f32) -> u8 {
    let size = if f == 0.0 || f.is_nan() {
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

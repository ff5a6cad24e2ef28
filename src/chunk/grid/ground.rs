//! The base of a chunk of blocks: blocks of the same format, the weights themselves, or both, where
//! a prediction has moved the weights.

use crate::predict::float::to_f16;
use crate::quant::{BlockFields, BlockFormat, Levels, Minimum, finite};

/// The base of a chunk of blocks.
pub(super) enum Ground<'a> {
    /// The fields of blocks of the same format, and the blocks.
    Blocks(BlockFields, &'a [u8]),
    /// The weights, and the fields that a quantiser would choose for them.
    Weights(Weights),
    /// The fields of blocks of the same format, and the blocks' weights after a prediction has
    /// moved them.
    Moved(BlockFields, &'a [f32]),
}

/// Weights, and a guess at their blocks' fields.
pub(super) struct Weights {
    pub(super) weights: Vec<f32>,
    scales: Vec<u16>,
    minima: Vec<u16>,
    /// The scale that each group would like to have, where groups have sub-scales.
    steps: Vec<f32>,
    /// The minimum that each group would like to have, where groups have sub-minima.
    floors: Vec<f32>,
}

/// The extremes of a group: its least and greatest weight, and the one of the largest magnitude.
struct Extremes {
    least: f32,
    greatest: f32,
    largest: f32,
}

impl Extremes {
    fn of(weights: &[f32]) -> Self {
        let mut extremes = Self { least: 0.0, greatest: 0.0, largest: 0.0 };
        let mut first = true;
        for &weight in weights {
            if first || weight < extremes.least {
                extremes.least = weight;
            }
            if first || weight > extremes.greatest {
                extremes.greatest = weight;
            }
            if weight.abs() > extremes.largest.abs() {
                extremes.largest = weight;
            }
            first = false;
        }
        extremes
    }
}

impl Ground<'_> {
    /// The expected scale and minimum of every block, as the bits of an `F16`.
    pub(super) fn words(&self) -> (&[u16], &[u16]) {
        match self {
            Self::Blocks(blocks, _) | Self::Moved(blocks, _) => (&blocks.scales, &blocks.minima),
            Self::Weights(weights) => (&weights.scales, &weights.minima),
        }
    }

    /// The weights; of blocks that were not moved, there are none.
    pub(super) fn weights(&self) -> &[f32] {
        match self {
            Self::Blocks(..) => &[],
            Self::Weights(weights) => &weights.weights,
            Self::Moved(_, weights) => weights,
        }
    }

    /// Sets the expected sub-scales of the groups of a target's block with the scale `scale`, or with
    /// `minima` the sub-minima of a block with that minimum.
    pub(super) fn subs(&self, minima: bool, block: usize, scale: f32, expected: &mut [f32]) {
        let groups = block * expected.len()..(block + 1) * expected.len();
        match self {
            Self::Blocks(base, _) | Self::Moved(base, _) => {
                let (words, subs) =
                    if minima { (&base.minima, &base.sub_minima) } else { (&base.scales, &base.sub_scales) };
                let ratio = ratio(words[block], scale);
                expected.iter_mut().zip(&subs[groups]).for_each(|(expected, &sub)| *expected = f32::from(sub) * ratio);
            }
            Self::Weights(weights) => {
                let steps = if minima { &weights.floors } else { &weights.steps };
                let pairs = expected.iter_mut().zip(&steps[groups]);
                pairs.for_each(|(expected, step)| *expected = finite_or_zero(step / scale));
            }
        }
    }
}

/// The factor between the base's scale, the bits of an `F16`, and the target's, or 1 if there is none.
fn ratio(from: u16, to: f32) -> f32 {
    let ratio = finite(from) / to;
    if ratio.is_finite() { ratio } else { 1.0 }
}

fn finite_or_zero(number: f32) -> f32 {
    if number.is_finite() { number } else { 0.0 }
}

impl Weights {
    /// Guesses the fields of the blocks of `weights`. Weights that are not finite count as 0.
    pub(super) fn new(format: &'static BlockFormat, mut weights: Vec<f32>) -> Self {
        weights.iter_mut().for_each(|weight| *weight = finite_or_zero(*weight));
        let extremes: Vec<Extremes> = weights.chunks_exact(format.group).map(Extremes::of).collect();
        let mut guess = Self { weights, scales: Vec::new(), minima: Vec::new(), steps: Vec::new(), floors: Vec::new() };
        match (format.minimum, format.sub) {
            (Minimum::PerGroup(_, floor), Some(sub)) => {
                guess.sub_blocks(format, &extremes, (sub.range.1, floor.range.1))
            }
            (_, Some(sub)) => guess.signed_sub_blocks(format, &extremes, sub.range.0),
            (Minimum::Plain(_), None) => {
                let last = last_level(format);
                guess.scales = extremes.iter().map(|e| to_f16((e.greatest - e.least) / last)).collect();
                guess.minima = extremes.iter().map(|e| to_f16(e.least)).collect();
            }
            (_, None) => {
                let scale = |e: &Extremes| match format.levels {
                    Levels::Uniform { last: 255, .. } => e.largest.abs() / 127.0,
                    _ => e.largest / format.levels.value(0),
                };
                guess.scales = extremes.iter().map(|e| to_f16(scale(e))).collect();
            }
        }
        guess
    }

    /// Formats whose groups have a scale and a minimum of their own.
    fn sub_blocks(&mut self, format: &BlockFormat, extremes: &[Extremes], (sub, floor): (i16, i16)) {
        let last = last_level(format);
        self.floors = extremes.iter().map(|e| if e.least < 0.0 { -e.least } else { 0.0 }).collect();
        let steps = extremes.iter().zip(&self.floors).map(|(e, floor)| (e.greatest + floor) / last);
        self.steps = steps.map(|step| if step > 0.0 { step } else { 0.0 }).collect();
        let most = |numbers: &[f32], range: i16| -> Vec<u16> {
            let blocks = numbers.chunks_exact(format.groups());
            let most =
                |block: &[f32]| block.iter().fold(0f32, |most, &number| if number > most { number } else { most });
            blocks.map(|block| to_f16(most(block) / f32::from(range))).collect()
        };
        self.scales = most(&self.steps, sub);
        self.minima = most(&self.floors, floor);
    }

    /// Formats whose groups have a signed sub-scale, of which `least` is the least value.
    fn signed_sub_blocks(&mut self, format: &BlockFormat, extremes: &[Extremes], least: i16) {
        self.steps = extremes.iter().map(|e| e.largest / format.levels.value(0)).collect();
        let largest = |block: &[f32]| {
            block.iter().fold(0f32, |largest, &step| if step.abs() > largest.abs() { step } else { largest })
        };
        let blocks = self.steps.chunks_exact(format.groups());
        self.scales = blocks.map(|block| to_f16(largest(block) / f32::from(least))).collect();
    }
}

/// The greatest level of a format with uniform levels that begin at 0.
fn last_level(format: &BlockFormat) -> f32 {
    match format.levels {
        Levels::Uniform { last, .. } => last.into(),
        _ => format.levels.value(15),
    }
}

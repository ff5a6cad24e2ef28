//! The contexts of indices: what is known of them, as a small number.
//!
//! A context is the sum of a part that the size of the step decides and one that the distance
//! decides.

use crate::quant::round_small;

/// The contexts of indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Model {
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
pub(in super::super) fn half_octaves(step: f32) -> u16 {
    (step.abs().to_bits() >> 22) as u16
}

impl Model {
    /// The low bits of the contexts of [`DistanceAndStep`](Self::DistanceAndStep) that the step
    /// decides. Without them, the contexts are those of [`Distance`](Self::Distance).
    pub(in super::super) const STEP_BITS: u32 = 3;

    /// The part that the size of the step decides, in half octaves.
    #[inline(always)]
    pub(in super::super) fn of_step(self, step: u16) -> u8 {
        let from = |middle: u16| i32::from(step) - i32::from(middle);
        match self {
            Self::Distance | Self::Border => 0,
            Self::DistanceAndStep(middle) => (from(middle) + 4).clamp(0, 7) as u8,
            Self::Step(middle) => (from(middle) + 12).clamp(0, 23) as u8,
        }
    }

    /// The context of an index whose weight has not moved.
    #[inline(always)]
    pub(in super::super) fn still(self, step: u16) -> u8 {
        if matches!(self, Self::Step(_)) { self.of_step(step) } else { 0 }
    }

    /// Adds to `contexts`, which hold the parts of the steps, the parts of the distances. Where the
    /// distance is NaN, the context is 0.
    #[inline(always)]
    pub(in super::super) fn add(self, distances: &[f32], contexts: &mut [u8]) {
        match self {
            Self::Distance | Self::DistanceAndStep(_) => {
                let shift = if self == Self::Distance { 0 } else { Self::STEP_BITS };
                add(distances, contexts, |distance| class(distance) << shift);
            }
            Self::Border => add(distances, contexts, border),
            Self::Step(_) => add(distances, contexts, |distance| 24 * quarter(distance)),
        }
    }
}

#[inline(always)]
fn add(distances: &[f32], contexts: &mut [u8], of_distance: impl Fn(f32) -> u8) {
    for (context, &distance) in contexts.iter_mut().zip(distances) {
        let known = context.wrapping_add(of_distance(distance));
        *context = if distance.is_nan() { 0 } else { known };
    }
}

/// The class of a distance to a level, in steps: 0 to 10. There is no branch, since it could not be
/// predicted.
#[inline(always)]
pub(super) fn class(distance: f32) -> u8 {
    let f = distance.abs();
    let beyond = |least: f32| u32::from(f >= least);
    let sixteenths = if f * 16.0 < 7.0 { f * 16.0 } else { 7.0 };
    let (near, integer) = round_small(sixteenths);
    let whole = integer.wrapping_sub(u32::from(near > sixteenths));
    (beyond(1e-4) + beyond(1.0 / 64.0) + beyond(1.0 / 32.0)).wrapping_add(whole) as u8
}

/// The class of a distance to a level: 0 to 3.
#[inline(always)]
fn quarter(distance: f32) -> u8 {
    let f = distance.abs();
    u8::from(f >= 1e-4) + u8::from(f >= 0.125) + u8::from(f >= 0.25)
}

/// The distance to the border between two levels, in half octaves below a half: 0 to 23.
#[inline(always)]
fn border(distance: f32) -> u8 {
    const HALF: i32 = (0.5f32.to_bits() >> 22) as i32;
    let left = 0.5 - distance.abs();
    let left = if left > 0.0 { left } else { 0.0 };
    (HALF - (left.to_bits() >> 22) as i32).clamp(0, 23) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_distances_have_these_bounds() {
        let distances = [0.0, 9e-5, 1e-4, 0.0156, 0.015625, 0.0312, 0.03125, 0.0624, 0.0625, 0.12, 0.43, 0.4375, 0.5];
        assert_eq!(distances.map(class), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 9, 10, 10]);
        assert_eq!(distances.map(|f| class(-f)), distances.map(class));
        let sixteenths: Vec<u8> = (2..=8).map(|n| class(n as f32 / 16.0) - 3).collect();
        assert_eq!(sixteenths, [2, 3, 4, 5, 6, 7, 7]);
    }

    #[test]
    fn contexts_are_sums_of_parts() {
        let contexts = |model: Model, step: u16| {
            let distances = [0.0, -0.2, 0.3, 0.4999, f32::NAN];
            let mut contexts = [model.of_step(step); 5];
            model.add(&distances, &mut contexts);
            contexts
        };
        assert_eq!(contexts(Model::Distance, 250), [0, 6, 7, 10, 0]);
        assert_eq!(contexts(Model::DistanceAndStep(249), 250), [5, 53, 61, 85, 0]);
        assert_eq!(contexts(Model::DistanceAndStep(249), 0), [0, 48, 56, 80, 0]);
        assert_eq!(contexts(Model::Border, 250), [0, 2, 3, 24 - 1, 0]);
        assert_eq!(contexts(Model::Step(249), 250), [13, 61, 85, 85, 0]);
        assert_eq!(contexts(Model::Step(249), 300), [23, 71, 95, 95, 0]);
    }
}

//! A strip of indices: the places of the base's weights in the target's grid, and the expectations
//! that follow from them.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::place::place_all;
use super::{Expected, Model};
use crate::quant::Levels;

/// A strip of indices.
#[derive(Debug, Default)]
pub(in super::super) struct Strip {
    pub(in super::super) expected: Expected,
    /// The place of each weight among the target's levels, NaN where there is none; then the
    /// distance from the nearest level.
    pub(in super::super) places: Vec<f32>,
    /// The indices of the base.
    pub(in super::super) own: Vec<u8>,
    /// The tiles of packed numbers.
    pub(in super::super) tiles: Vec<u32>,
}

impl Strip {
    /// Makes room for `count` indices, whose places are to be set, and the parts of their contexts
    /// that the size of the step decides.
    pub(in super::super) fn resize(&mut self, count: usize) {
        self.expected.resize(count);
        self.places.resize(count, 0.0);
        self.own.resize(count, 0);
    }

    /// Replaces all places by the distances from the nearest levels, which are expected.
    pub(in super::super) fn place(&mut self, levels: &Levels) {
        #[cfg(target_arch = "x86_64")]
        if avx2::place(self, levels) {
            return;
        }
        self.place_portably(levels);
    }

    #[inline(always)]
    fn place_portably(&mut self, levels: &Levels) {
        place_all(levels, &mut self.places, &mut self.expected.numbers, &mut self.expected.signs);
    }

    /// Adds the parts of the contexts that the distances decide.
    pub(in super::super) fn add_distances(&mut self, model: Model) -> &mut Expected {
        #[cfg(target_arch = "x86_64")]
        if avx2::add_distances(self, model) {
            return &mut self.expected;
        }
        self.add_distances_portably(model);
        &mut self.expected
    }

    #[inline(always)]
    fn add_distances_portably(&mut self, model: Model) {
        model.add(&self.places, &mut self.expected.contexts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::formats::FORMATS;
    use crate::quant::packed::PACKINGS;

    /// The code for this processor expects what the portable code expects.
    #[test]
    fn kernels_expect_the_same() {
        let of_blocks = FORMATS.iter().map(|format| &format.levels);
        for levels in of_blocks.chain(PACKINGS.iter().map(|packing| &packing.levels)) {
            for model in [Model::Distance, Model::DistanceAndStep(240), Model::Border, Model::Step(240)] {
                for count in [0, 1, 7, 1000] {
                    let strip = || {
                        let mut strip = Strip::default();
                        strip.resize(count);
                        let place = |i: usize| if i % 17 == 3 { f32::NAN } else { (i as f32 * 0.37).sin() * 20.0 };
                        strip.places.iter_mut().enumerate().for_each(|(i, x)| *x = place(i));
                        strip.expected.contexts.fill(model.of_step(243));
                        strip
                    };
                    let [mut strip, mut portable] = [strip(), strip()];
                    strip.place(levels);
                    strip.add_distances(model);
                    portable.place_portably(levels);
                    portable.add_distances_portably(model);
                    assert_eq!(strip.expected, portable.expected, "{levels:?} {model:?}");
                }
            }
        }
    }
}

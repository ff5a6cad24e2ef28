//! The expected indices of blocks, strip by strip, given all other fields.

use super::model::half_octaves;
use super::{Expected, Model, Strip};
use crate::chunk::grid::ground::Ground;
use crate::chunk::grid::strips::Strips;
use crate::entropy::rans::STRIP;
use crate::quant::{BlockFields, read_indices, write_indices};

/// The source of the expectations of a chunk's indices.
pub(in super::super) struct Indices<'a> {
    pub(in super::super) ground: &'a Ground<'a>,
    /// The fields of the target's blocks.
    pub(in super::super) target: &'a BlockFields,
    pub(in super::super) model: Model,
}

/// The way of a group's weights from their levels in the base to their places in the target.
struct Move {
    scale: f32,
    shift: f32,
    /// The part of the contexts that the size of the step decides.
    context: u8,
}

impl Strips for Indices<'_> {
    fn bytes(&self) -> usize {
        STRIP / self.target.format.weights * self.target.format.bytes
    }

    fn count(&self, bytes: usize) -> usize {
        bytes / self.target.format.bytes * self.target.format.weights
    }

    /// Both numbers are those of whole blocks.
    fn expect<'s>(&self, start: usize, count: usize, strip: &'s mut Strip) -> &'s mut Expected {
        strip.resize(count);
        let block = start / self.target.format.weights;
        match self.ground {
            Ground::Blocks(base, bytes) => {
                let bytes = &bytes[block * base.format.bytes..];
                read_indices(base.format, bytes, &mut strip.own);
                base.format.levels.values(&strip.own, &mut strip.places);
                self.move_blocks(block, base, strip);
            }
            Ground::Weights(_) | Ground::Moved(..) => {
                strip.places.copy_from_slice(&self.ground.weights()[start..start + count]);
                self.place_weights(block, strip);
            }
        }
        strip.place(&self.target.format.levels);
        strip.add_distances(self.model)
    }

    fn read(&self, bytes: &[u8], indices: &mut [u8]) {
        read_indices(self.target.format, bytes, indices);
    }

    /// The blocks have all other fields, and no indices so far.
    fn write(&self, indices: &mut [u8], bytes: &mut [u8]) {
        write_indices(self.target.format, indices, bytes);
    }
}

impl Indices<'_> {
    /// Moves the values of the base's indices, from the block `first` on, to their places in the
    /// target's grid, and sets the part of each context that the size of the step decides.
    fn move_blocks(&self, first: usize, base: &BlockFields, strip: &mut Strip) {
        let (size, group) = (base.format.weights, base.format.group);
        let blocks = strip.places.chunks_exact_mut(size).zip(strip.expected.contexts.chunks_exact_mut(size));
        for (block, (places, contexts)) in (first..).zip(blocks) {
            let groups = places.chunks_exact_mut(group).zip(contexts.chunks_exact_mut(group));
            let affines = base.affines(block).zip(self.target.affines(block));
            for ((base, target), (places, contexts)) in affines.zip(groups) {
                let Move { scale, shift, context } = self.move_of(base, target);
                contexts.fill(context);
                places.iter_mut().for_each(|place| *place = *place * scale + shift);
            }
        }
    }

    /// Replaces weights, from the block `first` on, by their places in the target's grid, NaN where
    /// there is none, and sets the part of each context that the size of the step decides.
    fn place_weights(&self, first: usize, strip: &mut Strip) {
        let (size, group) = (self.target.format.weights, self.target.format.group);
        let blocks = strip.places.chunks_exact_mut(size).zip(strip.expected.contexts.chunks_exact_mut(size));
        for (block, (places, contexts)) in (first..).zip(blocks) {
            let groups = places.chunks_exact_mut(group).zip(contexts.chunks_exact_mut(group));
            for ((a, c), (places, contexts)) in self.target.affines(block).zip(groups) {
                let inverse = 1.0 / a;
                contexts.fill(self.model.of_step(half_octaves(a)));
                for place in places {
                    let x = (*place - c) * inverse;
                    *place = if x.is_finite() { x } else { f32::NAN };
                }
            }
        }
    }

    #[inline(always)]
    fn move_of(&self, (base_a, base_c): (f32, f32), (a, c): (f32, f32)) -> Move {
        let (inverse, step) = (1.0 / a, half_octaves(a));
        let (scale, shift) = (base_a * inverse, (base_c - c) * inverse);
        if base_a == a && base_c == c || !scale.is_finite() || !shift.is_finite() {
            return Move { scale: 1.0, shift: 0.0, context: self.model.still(step) };
        }
        Move { scale, shift, context: self.model.of_step(step) }
    }
}

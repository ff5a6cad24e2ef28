//! The expectations of packed numbers, strip by strip.

use super::super::expect::{Expected, Model, Strip};
use super::super::strips::Strips;
use super::{Ground, Move, Side};
use crate::entropy::rans::STRIP;
use crate::quant::Levels;
use crate::quant::packed::Code;

/// The source of the expectations of a chunk's numbers.
pub(super) struct Numbers<'a> {
    pub(super) side: &'a Side,
    pub(super) base: Ground<'a>,
    pub(super) model: Model,
}

impl Strips for Numbers<'_> {
    fn bytes(&self) -> usize {
        self.side.packing.bytes(STRIP as u64) as usize
    }

    fn count(&self, bytes: usize) -> usize {
        self.side.packing.count(bytes as u64) as usize
    }

    fn expect<'s>(&self, start: usize, count: usize, strip: &'s mut Strip) -> &'s mut Expected {
        let side = self.side;
        strip.resize(count);
        let mut tiles = std::mem::take(&mut strip.tiles);
        tiles.resize(count, 0);
        side.find_tiles(start, &mut tiles);
        match self.base.strip(side.packing, start, count) {
            Ground::Numbers(base) => side.expect_numbers(base, self.model, &tiles, strip),
            Ground::Weights(base) => side.expect_weights(base.as_chunks().0, self.model, &tiles, strip),
        }
        strip.tiles = tiles;
        strip.add_distances(self.model)
    }

    fn read(&self, bytes: &[u8], indices: &mut [u8]) {
        self.side.packing.indices(bytes, indices);
    }

    fn write(&self, indices: &mut [u8], bytes: &mut [u8]) {
        self.side.packing.store(indices, bytes);
    }
}

impl Side {
    /// Finds the tiles of numbers from number `start` of the chunk on, counted from the first tile.
    fn find_tiles(&self, start: usize, tiles: &mut [u32]) {
        let first = self.first + start as u64;
        match &self.groups {
            Some(groups) => tiles.iter_mut().zip(first..).for_each(|(tile, at)| *tile = groups.tile(at) as u32),
            None => self.packing.tiles(&self.tiles, self.origin, first, tiles),
        }
    }

    fn expect_numbers(&self, base: &[u8], model: Model, tiles: &[u32], strip: &mut Strip) {
        let levels = &self.packing.levels;
        self.packing.indices(base, &mut strip.own);
        levels.values(&strip.own, &mut strip.places);
        let fields = strip.places.iter_mut().zip(&mut strip.expected.contexts);
        for ((place, context), &tile) in fields.zip(tiles) {
            let known = self.moves.get(tile as usize);
            (*place, *context) = known.map_or((f32::NAN, 0), |tile| match tile.is_still() {
                true => (*place, model.still(tile.step)),
                false => (*place * tile.scale + tile.shift, model.of_step(tile.step)),
            });
        }
        strip.place(levels);
        self.add_steps_of_floats(model, true, tiles, strip);
        if self.packing.code == Code::SignAndSize || !self.has_all(tiles) {
            self.keep_still(tiles, strip);
        }
    }

    /// Expects the base's own indices where numbers do not move, since some levels have the same
    /// value, and 0 where no tile is known.
    fn keep_still(&self, tiles: &[u32], strip: &mut Strip) {
        for ((number, &own), &tile) in strip.expected.numbers.iter_mut().zip(&strip.own).zip(tiles) {
            match self.moves.get(tile as usize) {
                None => *number = 0,
                Some(tile) if tile.is_still() => *number = own.into(),
                Some(_) => {}
            }
        }
    }

    fn has_all(&self, tiles: &[u32]) -> bool {
        tiles.iter().fold(0, |most, &tile| most.max(tile)) < self.moves.len() as u32
    }

    /// Sets the parts of contexts that the sizes of steps decide, where levels have steps of their own.
    /// With `stay`, the numbers of tiles that do not move are those of the base.
    fn add_steps_of_floats(&self, model: Model, stay: bool, tiles: &[u32], strip: &mut Strip) {
        let levels = &self.packing.levels;
        if !matches!(levels, Levels::Float(_)) {
            return;
        }
        let fields = strip.expected.contexts.iter_mut().zip(&strip.expected.numbers);
        for ((context, &near), &tile) in fields.zip(tiles) {
            let step = |tile: &Move| tile.step + levels.half_octaves(near as u8);
            *context = self.moves.get(tile as usize).map_or(0, |tile| match stay && tile.is_still() {
                true => model.still(step(tile)),
                false => model.of_step(step(tile)),
            });
        }
    }

    fn expect_weights(&self, base: &[[u8; 4]], model: Model, tiles: &[u32], strip: &mut Strip) {
        let fields = strip.places.iter_mut().zip(&mut strip.expected.contexts);
        for (number, ((place, context), &tile)) in fields.zip(tiles).enumerate() {
            let weight = base.get(self.packing.weight(number)).map_or(0.0, |word| f32::from_le_bytes(*word));
            let known = self.moves.get(tile as usize);
            let x = known.map_or(f32::NAN, |tile| (weight - tile.c) * tile.inverse);
            *place = if x.is_finite() { x } else { f32::NAN };
            *context = known.map_or(0, |tile| model.of_step(tile.step));
        }
        strip.place(&self.packing.levels);
        self.add_steps_of_floats(model, false, tiles, strip);
    }
}

//! A chunk of packed numbers whose scales lie in other regions: the base's weights are placed in the
//! target's grid of levels, as those of blocks are.
//!
//! The payload holds the model of the contexts and the list of the numbers.

use super::expect::{Expected, Model, half_octaves, place};
use super::{read_model, residue, write_model};
use crate::bytes::ByteReader;
use crate::chunk::Scratch;
use crate::chunk::list::{self, List};
use crate::entropy::rans::STRIP;
use crate::error::Result;
use crate::layout::Dtype;
use crate::quant::packed::{Packing, Tiles};

/// The tiles of a chunk, in base and target.
#[derive(Debug)]
pub(crate) struct Side {
    packing: &'static Packing,
    tiles: Tiles,
    /// The number of the chunk's first packed number in its region.
    first: u64,
    /// The number of the first tile.
    origin: u64,
    moves: Vec<Move>,
}

/// The way from the weights of a base's tile to the grid of the target's.
#[derive(Debug, Clone, Copy)]
struct Move {
    scale: f32,
    /// NaN where numbers are expected to stay.
    shift: f32,
    /// The size of the target's step.
    step: u16,
}

/// The companions of the tiles of a chunk, as far as they belong to these tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Companions<'a> {
    pub(crate) scales: (Dtype, &'a [u8]),
    pub(crate) zeros: Option<&'a [u8]>,
    /// The one number that all scales are multiplied by.
    pub(crate) factor: Option<(Dtype, &'a [u8])>,
}

impl Side {
    /// Creates the side of a chunk whose first number is `first`, and whose companions are those of
    /// the tiles from `origin` on.
    pub(crate) fn new(
        (packing, tiles): (&'static Packing, Tiles),
        (first, origin): (u64, u64),
        base: Companions<'_>,
        target: Companions<'_>,
    ) -> Self {
        let [base, target] = [base, target].map(|of| packing.affine(of.scales, of.zeros, of.factor));
        let pairs = base.into_iter().zip(target);
        let moves = pairs.map(|((base_a, base_c), (a, c))| {
            let inverse = 1.0 / a;
            let (scale, shift) = (base_a * inverse, (base_c - c) * inverse);
            let still = base_a == a && base_c == c || !scale.is_finite();
            Move { scale, shift: if still { f32::NAN } else { shift }, step: half_octaves(a) }
        });
        Self { packing, tiles, first, origin, moves: moves.collect() }
    }

    /// The expectations of a strip of numbers that begins with number `start` of the chunk.
    fn expect(&self, start: usize, base: &[u8], model: Model, places: &mut [u32], expected: &mut Expected) {
        self.packing.tiles(&self.tiles, self.origin, self.first + start as u64, places);
        for (number, &tile) in self.packing.numbers(base).zip(&*places) {
            let index = self.packing.index(number);
            match self.moves.get(tile as usize) {
                Some(tile) if tile.shift.is_finite() => {
                    let (near, f) =
                        place(&self.packing.levels, self.packing.levels.value(index) * tile.scale + tile.shift);
                    expected.push(near.into(), f < 0.0, model.context(f, tile.step));
                }
                _ => expected.push(index.into(), false, 0),
            }
        }
    }

    /// Bits of a packed number.
    pub(crate) fn bits(&self) -> u32 {
        self.packing.bits
    }

    /// Bytes of a strip.
    fn strip(&self) -> usize {
        STRIP / self.packing.per_byte() as usize
    }

    /// The median of the steps of all tiles, in half octaves.
    fn middle(&self) -> u16 {
        let mut steps: Vec<u16> = self.moves.iter().map(|tile| tile.step).collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(0)
    }

    fn list(&self, model: Model, base: &[u8], target: &[u8]) -> List {
        let count = target.len() * self.packing.per_byte() as usize;
        let (mut numbers, mut contexts) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut expected, mut places) = (Expected::default(), [0; STRIP]);
        for (i, (base, target)) in base.chunks(self.strip()).zip(target.chunks(self.strip())).enumerate() {
            expected.clear();
            let places = &mut places[..target.len() * self.packing.per_byte() as usize];
            self.expect(i * STRIP, base, model, places, &mut expected);
            let targets = self.packing.numbers(target).zip(expected.numbers.iter().zip(&expected.negated));
            numbers.extend(
                targets.map(|(number, (&near, &negated))| residue(self.packing.index(number).into(), near, negated)),
            );
            contexts.extend_from_slice(&expected.contexts);
        }
        List::new(numbers, contexts)
    }
}

/// Encodes `target` against `base`, which has the same length, and returns the payload.
pub(crate) fn encode(side: &Side, base: &[u8], target: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let models = [Model::Distance, Model::DistanceAndStep(side.middle())];
    let coded = models.map(|model| (model, side.list(model, base, target)));
    if let Some((model, list)) = coded.into_iter().min_by_key(|(_, list)| list.bits()) {
        write_model(&mut payload, model);
        list.write(&mut payload);
    }
    payload
}

/// Restores `target` from its base and the payload that [`encode`] returned.
pub(crate) fn decode(side: &Side, payload: &[u8], base: &[u8], target: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let model = read_model(&mut payload)?;
    let mut reader = list::Reader::new(&mut payload, scratch)?;
    payload.finish()?;
    let (mut expected, mut places, mut numbers) = (Expected::default(), [0; STRIP], [0; STRIP]);
    for (i, (base, target)) in base.chunks(side.strip()).zip(target.chunks_mut(side.strip())).enumerate() {
        let count = target.len() * side.packing.per_byte() as usize;
        expected.clear();
        side.expect(i * STRIP, base, model, &mut places[..count], &mut expected);
        let numbers = &mut numbers[..count];
        reader.strip(&mut expected.contexts, numbers);
        let mut restored =
            numbers.iter().zip(expected.numbers.iter().zip(&expected.negated)).map(|(&residue, (&near, &negated))| {
                side.packing.number(super::number(residue, near, negated) as u8 & side.packing.mask())
            });
        let mut next = || restored.next().unwrap_or(0);
        let halves = side.packing.bits == 4;
        target.iter_mut().for_each(|byte| *byte = if halves { next() | next() << 4 } else { next() });
    }
    reader.finish()
}

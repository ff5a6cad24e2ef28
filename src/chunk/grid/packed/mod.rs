//! A chunk of packed numbers whose scales lie in other regions: the base's weights are placed in the
//! target's grid of levels, as those of blocks are. The base has either packed numbers or weights.
//!
//! The payload holds the model of the contexts and the list of the numbers.

mod expect;

use std::sync::Arc;

use super::expect::{Model, half_octaves};
use super::{read_model, shorter_list, strips, write_model};
use crate::bytes::ByteReader;
use crate::chunk::Scratch;
use crate::chunk::list::List;
use crate::derived::Span;
use crate::error::Result;
use crate::quant::groups::Groups;
use crate::quant::packed::{Companions, Packing, Tiles, Zeros};
use expect::Numbers;

/// The tiles of a chunk, in base and target.
#[derive(Debug)]
pub(crate) struct Side {
    packing: &'static Packing,
    tiles: Tiles,
    /// The groups of the chunk's rows, if there are some.
    groups: Option<Arc<Groups>>,
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
    /// The target's step, its inverse, and the weight that the target's number 0 stands for.
    a: f32,
    inverse: f32,
    c: f32,
}

impl Move {
    fn is_still(&self) -> bool {
        !self.shift.is_finite()
    }
}

/// The model of lines, which begins a payload.
const LINES: u8 = 4;

/// The distance of a number from the one that it was before it was rounded to a `BF16` or a longer
/// float is at most this share of it.
const ROUNDED: f32 = 1.0 / 256.0;

/// The same share for scales that are quantised.
const QUANTISED: f32 = 1.0 / 16.0;

/// The base of a chunk of packed numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ground<'a> {
    /// Packed numbers in the same order.
    Numbers(&'a [u8]),
    /// A weight for each number, in the order of columns, as little-endian `F32`.
    Weights(&'a [u8]),
}

impl<'a> Ground<'a> {
    /// The base of a strip of `count` numbers from number `start` on.
    fn strip(self, packing: &Packing, start: usize, count: usize) -> Self {
        let part = |bytes: &'a [u8], from: usize, length: usize| {
            let rest = bytes.get(from..).unwrap_or_default();
            &rest[..length.min(rest.len())]
        };
        let bytes_of = |numbers: usize| packing.bytes(numbers as u64) as usize;
        match self {
            Self::Numbers(bytes) => Self::Numbers(part(bytes, bytes_of(start), bytes_of(count))),
            Self::Weights(bytes) => Self::Weights(part(bytes, 4 * start, 4 * count)),
        }
    }
}

impl Side {
    /// Creates the side of a chunk whose first number is `first`, and whose companions are those of
    /// the tiles from `origin` on.
    pub(crate) fn new(
        (packing, tiles, groups): (&'static Packing, Tiles, Option<Groups>),
        (first, origin): (u64, u64),
        base: Companions<'_>,
        target: Companions<'_>,
    ) -> Self {
        let [base, target] = [base, target].map(|of| packing.affine(&tiles, of));
        let pairs = base.into_iter().zip(target);
        let moves = pairs.map(|((base_a, base_c), (a, c))| {
            let inverse = 1.0 / a;
            let (scale, shift) = (base_a * inverse, (base_c - c) * inverse);
            let still = base_a == a && base_c == c || !scale.is_finite();
            Move { scale, shift: if still { f32::NAN } else { shift }, step: half_octaves(a), a, inverse, c }
        });
        Self { packing, tiles, groups: groups.map(Arc::new), first, origin, moves: moves.collect() }
    }

    /// Returns true if tiles are runs of weights, which tell scales and biases as they were before they
    /// were rounded, or before the scales were quantised.
    fn has_lines(&self) -> bool {
        let Tiles { width, rows, columns } = self.tiles;
        matches!(self.packing.zeros, Zeros::Biases | Zeros::Nested) && rows == 1 && columns == width
    }

    /// The scale and the bias that a quantiser finds for the weights of a tile, and the share of both by
    /// which the stored ones differ at most.
    fn line(&self, weights: &[f32]) -> (f32, f32, f32) {
        let last = f32::from(self.packing.mask());
        match self.packing.zeros {
            Zeros::Nested => (Span::Largest.of(weights, 1.0), 0.0, QUANTISED),
            _ => (Span::Slope.of(weights, last), Span::Bias.of(weights, last), ROUNDED),
        }
    }

    /// The side with scales and biases of lines through the base's weights, where these are near.
    fn with_lines(&self, weights: &[u8]) -> Self {
        let run = self.tiles.width;
        let first = self.first.div_ceil(run);
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let skipped = first.saturating_mul(run).saturating_sub(self.first).saturating_mul(4);
        let weights = weights.get(place(skipped)..).unwrap_or_default();
        let runs = weights.chunks_exact(place(run.saturating_mul(4)));
        let mut own = Vec::new();
        let mut moves = self.moves.clone();
        let whole = moves.get_mut(place(first - self.origin)..).unwrap_or_default();
        for (tile, run) in whole.iter_mut().zip(runs) {
            own.clear();
            own.extend(run.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)));
            let (slope, bias, share) = self.line(&own);
            let near = |number: f32, stored: f32| (number - stored).abs() <= stored.abs() * share;
            if near(slope, tile.a) && near(bias, tile.c) {
                *tile = Move { inverse: 1.0 / slope, c: bias, ..*tile };
            }
        }
        Self { moves, groups: self.groups.clone(), ..*self }
    }

    /// Bits of a packed number.
    pub(crate) fn bits(&self) -> u32 {
        self.packing.bits
    }

    /// The median of the steps of all tiles, plus that of the levels' own steps, in half octaves.
    fn middle(&self, target: &[u8]) -> u16 {
        let median = |mut steps: Vec<u16>| {
            steps.sort_unstable();
            steps.get(steps.len() / 2).copied().unwrap_or(0)
        };
        let levels = &self.packing.levels;
        let own = self.packing.float().map(|_| target.iter().map(|&number| self.packing.index(number)));
        let own = own.map_or(0, |indices| median(indices.map(|index| levels.half_octaves(index)).collect()));
        median(self.moves.iter().map(|tile| tile.step).collect()) + own
    }

    fn list(&self, model: Model, base: Ground<'_>, target: &[u8]) -> List {
        let (residues, contexts) = strips::residues(&Numbers { side: self, base, model }, target);
        List::new(residues, contexts)
    }

    /// Returns the shortest list of the numbers of `target`, and its model.
    fn shortest_list(&self, base: Ground<'_>, target: &[u8]) -> (Model, List) {
        let model = match base {
            Ground::Weights(_) => Model::Border,
            Ground::Numbers(_) if self.packing.float().is_some() => Model::Step(self.middle(target)),
            Ground::Numbers(_) => {
                let model = Model::DistanceAndStep(self.middle(target));
                let (residues, contexts) = strips::residues(&Numbers { side: self, base, model }, target);
                return shorter_list(model, residues, contexts);
            }
        };
        (model, self.list(model, base, target))
    }
}

/// Encodes `target` against `base`, which has as many numbers, and returns the payload.
pub(crate) fn encode(side: &Side, base: Ground<'_>, target: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let lines = match base {
        Ground::Weights(weights) if side.has_lines() => Some(side.with_lines(weights)),
        _ => None,
    };
    let (model, list) = side.shortest_list(base, target);
    let lined = lines.map(|lines| lines.list(Model::Border, base, target));
    match lined.filter(|lined| lined.bits() < list.bits()) {
        Some(lined) => {
            payload.push(LINES);
            lined.write(&mut payload);
        }
        None => {
            write_model(&mut payload, model);
            list.write(&mut payload);
        }
    }
    payload
}

/// Restores `target` from its base and the payload that [`encode`] returned.
pub(crate) fn decode(
    side: &Side,
    payload: &[u8],
    base: Ground<'_>,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let lines = match base {
        Ground::Weights(weights) if side.has_lines() && payload.first() == Some(&LINES) => {
            Some(side.with_lines(weights))
        }
        _ => None,
    };
    let mut payload = ByteReader::new(payload);
    let (side, model) = match &lines {
        Some(lines) => payload.u8().map(|_| (lines, Model::Border))?,
        None => (side, read_model(&mut payload)?),
    };
    strips::decode(&Numbers { side, base, model }, payload, target, scratch)
}

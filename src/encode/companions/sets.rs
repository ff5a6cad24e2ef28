//! Packed numbers with their companions, as the sets that a host may keep together, and the weights
//! that they stand for.

use std::collections::{HashMap, HashSet};

use super::{Known, find};
use crate::encode::survey::{STATE, in_order, is_searched, offset};
use crate::layout::{Dtype, Layout, Region};
use crate::quant::packed::PACKINGS;
use crate::unpacked::Unpacked;

/// The number of bytes at the beginning of a region that tell its packing.
const START: usize = 4 << 10;

/// A region of packed numbers and its companions, without which the numbers tell no weights.
///
/// The numbers are those of GPTQ, AWQ, MLX, NF4 and other quantisers that keep scales and zero
/// points in tensors of their own.
#[derive(Debug, Clone)]
pub struct PackedSet {
    known: Known,
    /// The numbers, their companions, and the JSON that tells the offset of nested scales.
    regions: Vec<usize>,
    /// The rows of the matrix that was quantised, if the numbers have its columns as their rows.
    turned: Option<u64>,
}

impl PackedSet {
    /// Finds the sets of a file by the names, the dtypes and the shapes of its regions. A region is
    /// in one set at most. Integers of 8 bits whose steps tell enough without companions are in
    /// none.
    pub fn find(layout: &Layout) -> Vec<Self> {
        let states = layout.regions.iter().enumerate().filter(|(_, region)| region.name.ends_with(STATE));
        let states: HashMap<&str, usize> = states.map(|(number, region)| (&*region.name, number)).collect();
        let mut taken: HashSet<usize> = HashSet::new();
        let mut sets = Vec::new();
        for known in find(layout).into_iter().filter(|known| is_searched(&layout.regions[known.region], known)) {
            let state = known.nested().map(|_| [&layout.regions[known.region].name, STATE].concat());
            let state = state.and_then(|name| states.get(&*name).copied());
            let regions: Vec<usize> = known.parts().chain(state).collect();
            if regions.iter().all(|region| !taken.contains(region)) {
                taken.extend(&regions);
                let turned = turned(&layout.regions[known.region], &known);
                sets.push(Self { known, regions, turned });
            }
        }
        sets
    }

    /// The indices of the regions, that of the numbers first. Their order depends on the format
    /// alone.
    pub fn regions(&self) -> &[usize] {
        &self.regions
    }

    /// The length in bytes of what the names of all regions have in common, as quantisers give
    /// them.
    pub fn stem(&self) -> usize {
        self.known.stem
    }

    /// The regions of which all numbers need all bytes: one factor for all scales, and the JSON
    /// that tells the offset of nested scales.
    pub fn common(&self) -> impl Iterator<Item = usize> {
        let state = self.known.nested().and_then(|_| self.regions.last().copied());
        self.known.factor.into_iter().chain(state)
    }

    /// The region that tells the group of each row, if there is one.
    pub fn groups(&self) -> Option<usize> {
        self.known.groups
    }

    /// The number of rows of the matrix that was quantised, if the numbers have its columns as
    /// their rows, as those of GPTQ and AWQ do. `None` if the weights are in order.
    pub fn turned(&self) -> Option<u64> {
        self.turned
    }

    /// The number of weights of numbers in so many bytes.
    pub fn weights(&self, bytes: u64) -> u64 {
        PACKINGS[usize::from(self.known.packing)].count(bytes)
    }

    /// The set with as many bits in each number as the first bytes of the numbers tell, of `length`
    /// bytes in all. Names and shapes leave open how many the numbers of MLX have.
    #[must_use]
    pub fn with_bits(self, first: &[u8], length: u64) -> Self {
        let first = first[..first.len().min(START)].to_vec();
        let known = self.known.with_bits(|_| Some(&first), length);
        Self { known, ..self }
    }

    /// The set as its bytes tell it: names and shapes leave open how many bits the numbers of MLX
    /// have, and whether rows are in groups. `given` has the dtype and all bytes of each of the
    /// [`regions`](Self::regions). `None` if it has fewer.
    pub fn resolved(&self, given: &[(Dtype, &[u8])]) -> Option<Self> {
        let start = |region: usize| Some(self.part(given, region)?.1.iter().take(START).copied().collect());
        let starts: HashMap<usize, Vec<u8>> =
            self.known.starting().map(|region| Some((region, start(region)?))).collect::<Option<_>>()?;
        let (start, length) = (|region: usize| starts.get(&region), given.first()?.1.len() as u64);
        let known = self.known.resolved(start, length);
        Some(Self { known, ..self.clone() })
    }

    /// The weights at these places of the matrix that was quantised, in the order of its rows, of a
    /// [resolved](Self::resolved) set with these bytes. `None` if they are no weights, or if there
    /// is no such place.
    pub fn weights_at(&self, given: &[(Dtype, &[u8])], places: &[u64]) -> Option<Vec<f32>> {
        let numbers = given.first()?;
        let state = self.known.nested().and(given.get(self.regions.len() - 1));
        let unpacked = unpacked(&self.known, numbers, state.map_or(Some(0.0), |(_, json)| offset(json))?)?;
        let parts = self.known.parts().map(|region| self.part(given, region));
        let parts: Vec<(Dtype, &[u8])> = parts.collect::<Option<_>>()?;
        let all = self.weights(numbers.1.len() as u64);
        let weights = have_all(&unpacked, all, &parts).then(|| unpacked.weights_at(places, all, &parts))?;
        (weights.len() == places.len()).then_some(weights)
    }

    fn part<'a>(&self, given: &[(Dtype, &'a [u8])], region: usize) -> Option<(Dtype, &'a [u8])> {
        given.get(self.regions.iter().position(|other| *other == region)?).copied()
    }
}

/// The rows of the matrix that was quantised, if the numbers in a region have its columns as rows.
fn turned(region: &Region, known: &Known) -> Option<u64> {
    let packing = &PACKINGS[usize::from(known.packing)];
    if packing.is_interleaved() {
        return Some(known.tiles.width);
    }
    let in_words = known.tiles.rows > 1 && packing.count(region.dtype.words().0 as u64) > 1;
    known.tiles.width.checked_div(known.tiles.columns).filter(|_| in_words)
}

/// The order of packed numbers in the matrix that was quantised.
fn unpacked(known: &Known, (dtype, bytes): &(Dtype, &[u8]), offset: f32) -> Option<Unpacked> {
    let packing = &PACKINGS[usize::from(known.packing)];
    let region =
        |shape: Vec<u64>| Region { name: String::new(), dtype: *dtype, shape, offset: 0, length: bytes.len() as u64 };
    let count = packing.count(bytes.len() as u64);
    let outer = match packing.is_interleaved() {
        true => known.tiles.width,
        false => known.tiles.width.checked_div(known.tiles.columns)?,
    };
    let base = region(vec![outer, count.checked_div(outer)?]);
    in_order(&region(Vec::new()), known, &base, false).map(|order| Unpacked { offset: offset.to_bits(), ..order })
}

/// Returns true if these parts have what `all` weights need.
fn have_all(unpacked: &Unpacked, all: u64, parts: &[(Dtype, &[u8])]) -> bool {
    let dtypes: Vec<Dtype> = parts.iter().map(|(dtype, _)| *dtype).collect();
    let Some(length) = all.checked_mul(4) else { return false };
    let weights = Region { name: String::new(), dtype: Dtype::F32, shape: vec![all], offset: 0, length };
    unpacked.check(&weights, &dtypes).is_ok() && {
        let needs = unpacked.needs(&(0..all), all, &dtypes);
        parts.iter().zip(&needs).all(|((_, bytes), needs)| needs.end <= bytes.len() as u64)
    }
}

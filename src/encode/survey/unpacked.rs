//! Floats of the target that are the weights of packed numbers of the base: the numbers of each
//! region, the order of its weights there, and the arithmetic that made them. A sample tells.

use std::collections::{HashMap, HashSet, VecDeque};

use super::nested::{LONGEST, STATE, offset};
use super::quantised::{is_float, names, numbers_of, orders, signature};
use crate::archive::v2::{Origin, View, units};
use crate::cast::singles;
use crate::chunk::unit;
use crate::encode::companions::{self, Known};
use crate::io::{Read, Source};
use crate::layout::{Dtype, Region};
use crate::merge::is_factor;
use crate::pairing::{self, Models, Signature, Subject, weights};
use crate::plan::{BaseSet, Place};
use crate::quant::packed::PACKINGS;
use crate::transposed::Transposed;
use crate::unpacked::{Part, Unpacked};

/// Words of a sample, at most: those of a start.
const WORDS: u64 = pairing::WORDS as u64;

/// Maximum number of bytes of a part of the base that a sample takes.
const SAMPLE: u64 = 4 << 20;

/// Shapes of the target's regions that are tried for packed numbers, at most.
const SHAPES: usize = 2;

/// Comparisons of signatures, at most, so that forged models of many equal shapes take no longer.
const COMPARISONS: usize = 1 << 24;

/// Mean distance of weights from those of the numbers, as a share of their mean magnitude, up to which
/// they are taken to be related.
const NEAR: f32 = 0.5;

/// The packed regions of the base, and the regions of the target that were found to be their weights.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// The packed regions, each with its base file.
    known: Vec<(usize, Known)>,
    /// The starts of these regions and of their companions.
    starts: HashMap<Place, Vec<u8>>,
    /// The regions whose starts are kept.
    kept: HashSet<Place>,
    /// The starts of the target's floats.
    floats: HashMap<usize, Vec<u8>>,
    samples: VecDeque<Sample>,
    views: Vec<(usize, View)>,
}

/// Packed numbers, and regions of the target of one shape, of which one may be their weights.
#[derive(Debug)]
struct Sample {
    regions: Vec<usize>,
    /// The regions of the base, in the order of the parts.
    places: Vec<Place>,
    /// The orders that the weights may have.
    orders: Vec<Unpacked>,
    /// Number of words.
    count: u64,
    /// The JSON that tells the offset of nested scales is read first.
    has_state: bool,
    /// The bytes that were read so far.
    bytes: Vec<Vec<u8>>,
}

impl Weights {
    pub(super) fn new(bases: &BaseSet) -> Self {
        let layouts = bases.layouts().iter().enumerate();
        let known: Vec<(usize, Known)> =
            layouts.flat_map(|(base, layout)| companions::find(layout).into_iter().map(move |k| (base, k))).collect();
        let kept = known.iter().flat_map(|&(base, known)| known.starting().map(move |region| Place { base, region }));
        Self { kept: kept.collect(), known, ..Self::default() }
    }

    /// Takes the start of a region of the base.
    pub(super) fn start(&mut self, place: Place, bytes: &[u8]) {
        if self.kept.contains(&place) {
            self.starts.insert(place, bytes.to_vec());
        }
    }

    /// Takes the start of a region of the target.
    pub(super) fn float(&mut self, models: &Models, region: usize, bytes: &[u8]) {
        if !self.known.is_empty() && is_float(&models.target.regions[region]) {
            self.floats.insert(region, bytes.to_vec());
        }
    }

    /// Finds the weights of packed regions among the regions of the target that `is_open` tells to have
    /// no other view, and plans to read samples of both.
    pub(super) fn plan(&mut self, models: &Models, is_open: impl Fn(usize) -> bool) -> Vec<Read> {
        let mut by_count: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for (number, region) in models.target.regions.iter().enumerate() {
            if is_float(region) && region.length > 0 && is_open(number) {
                by_count.entry(weights(region)).or_default().push(number);
                by_name.insert(&region.name, number);
            }
        }
        let (mut reads, mut left) = (Vec::new(), COMPARISONS);
        for (base, known) in self.known.clone() {
            let start = |region: usize| self.starts.get(&Place { base, region });
            let region = models.bases.region(Place { base, region: known.region });
            let known = known.resolved(start, region.length);
            let count = numbers_of(region, &known);
            let Some(regions) = by_count.get(&count) else { continue };
            left = left.saturating_sub(regions.len());
            let mut named = names(region, &known).into_iter().filter_map(|name| by_name.get(&*name).copied());
            let named = named.find(|&number| weights(&models.target.regions[number]) == count);
            let start = self.signature(models, base, &known).unwrap_or_default();
            let share = |number: usize| start.likeness(models.starts.get(&Subject::Target(number))?).related_share();
            let by_content = || {
                let found = regions.iter().filter(|_| left > 0).filter_map(|&number| Some((share(number)?, number)));
                found.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, number)| number)
            };
            if let Some(number) = named.or_else(by_content) {
                // Numbers in the order of the floats are not tried in another one.
                let turned = if share(number).is_some() { &[false][..] } else { &[false, true] };
                reads.extend(self.sample(models, (base, &known), vec![number], turned).unwrap_or_default());
                continue;
            }
            for regions in of_shapes(models, regions) {
                let sample = self.sample(models, (base, &known), regions, &[false, true]);
                reads.extend(sample.filter(|_| left > 0).unwrap_or_default());
            }
        }
        reads
    }

    /// The signature of the first weights of a packed region.
    fn signature(&self, models: &Models, base: usize, known: &Known) -> Option<Signature> {
        let start = |region: usize| {
            let place = Place { base, region };
            Some((models.bases.region(place).dtype, &self.starts.get(&place)?[..]))
        };
        signature(known, start)
    }

    /// Plans to read a sample of packed numbers, whose matrices are `turned` or not. One of these regions
    /// may be their weights; of several, all that are in the order of the numbers are known to be others.
    fn sample(
        &mut self,
        models: &Models,
        (base, known): (usize, &Known),
        regions: Vec<usize>,
        turned: &[bool],
    ) -> Option<Vec<Read>> {
        let target = &models.target.regions[*regions.first()?];
        let place = |region: usize| Place { base, region };
        let region = models.bases.region(place(known.region));
        let places: Vec<Place> = known.parts().map(place).collect();
        let dtypes: Vec<Dtype> = places.iter().map(|place| models.bases.region(*place).dtype).collect();
        let order = |&turned: &bool| in_order(region, known, target, turned);
        let mut orders: Vec<Unpacked> = turned.iter().filter_map(order).collect();
        orders.dedup();
        let moves = |order: &Unpacked| order.matrices.rows > 1 && order.matrices.columns > 1;
        orders.retain(|order| order.check(target, &dtypes).is_ok() && (regions.len() == 1 || moves(order)));
        let state = known.nested().map(|_| [&region.name, STATE].concat());
        let state = state.map(|name| models.bases.named(&name).iter().find(|place| place.base == base).copied());
        let state = match state {
            Some(place) => Some(models.bases.region(place?)).filter(|state| state.length <= LONGEST),
            None => None,
        };
        let mut sample = Sample { regions, places, orders, count: 0, has_state: state.is_some(), bytes: Vec::new() };
        sample.count = sample.count(target);
        let reads = sample.reads(models, target);
        let is_short = reads.iter().all(|read| read.length <= SAMPLE);
        if sample.orders.is_empty() || known.nested().is_some() && state.is_none() || !is_short {
            return None;
        }
        self.samples.push_back(sample);
        Some(state.map(|state| Read::new(Source::Base(base), state.range())).into_iter().chain(reads).collect())
    }

    /// Takes the bytes of the next read that was planned.
    pub(super) fn feed(&mut self, models: &Models, bytes: &[u8]) {
        let Some(mut sample) = self.samples.pop_front() else { return };
        sample.bytes.push(bytes.to_vec());
        if sample.bytes.len() < sample.number_of_reads() {
            self.samples.push_front(sample);
            return;
        }
        let Some((number, unpacked)) = sample.best(models, &self.floats) else { return };
        let origins: Vec<Origin> = sample.places.iter().map(|place| models.bases.origin(*place)).collect();
        self.views.push((number, View::unpacked(&models.target.regions[number], origins, unpacked)));
    }

    /// The views that were found, with their regions.
    pub(super) fn finish(self) -> Vec<(usize, View)> {
        self.views
    }
}

impl Sample {
    /// Words of the sample: those of a row of transposed elements, of which few are read.
    fn count(&self, target: &Region) -> u64 {
        let of_order = |order: &Unpacked| {
            let Transposed { rows, columns } = order.matrices;
            let most = (SAMPLE / columns / order.element).max(1);
            if rows == 1 { WORDS } else { rows.min(most) * order.element }
        };
        self.orders.iter().map(of_order).fold(WORDS.min(units(target)), u64::min)
    }

    /// An order, in the first rows of the first matrix only.
    fn first(&self, order: &Unpacked) -> Unpacked {
        let Transposed { rows, columns } = order.matrices;
        let rows = if rows == 1 { 1 } else { self.count.div_ceil(order.element).min(rows) };
        Unpacked { matrices: Transposed { rows, columns }, ..*order }
    }

    fn dtypes(&self, models: &Models) -> Vec<Dtype> {
        self.places.iter().map(|place| models.bases.region(*place).dtype).collect()
    }

    fn number_of_reads(&self) -> usize {
        usize::from(self.has_state) + self.orders.len() * self.places.len()
    }

    /// The reads of all parts in each order.
    fn reads(&self, models: &Models, target: &Region) -> Vec<Read> {
        let mut reads = Vec::new();
        for order in &self.orders {
            let needs = self.first(order).needs(&(0..self.count), units(target), &self.dtypes(models));
            reads.extend(self.places.iter().zip(needs).map(|(place, bytes)| {
                let offset = models.bases.region(*place).offset;
                Read::new(Source::Base(place.base), offset + bytes.start..offset + bytes.end)
            }));
        }
        reads
    }

    /// The region, the order and the arithmetic that give the most words of the region; `None` if none of
    /// them gives words that are near. The starts of all regions are known.
    fn best(&self, models: &Models, floats: &HashMap<usize, Vec<u8>>) -> Option<(usize, Unpacked)> {
        let (state, parts) = self.bytes.split_at(usize::from(self.has_state));
        let offset = state.first().map_or(Some(0.0), |state| offset(state))?;
        let dtypes = self.dtypes(models);
        let mut best: Option<((usize, f32), usize, Unpacked)> = None;
        for (order, bytes) in self.orders.iter().zip(parts.chunks(self.places.len())) {
            let parts: Vec<(Dtype, &[u8])> = dtypes.iter().zip(bytes).map(|(dtype, b)| (*dtype, &b[..])).collect();
            let all = units(&models.target.regions[*self.regions.first()?]);
            let take = |order: &Unpacked, dtype: Dtype| self.first(order).take(&(0..self.count), all, &parts, dtype);
            let order = Unpacked { offset: offset.to_bits(), ..*order };
            let Some(number) = self.like(models, &take(&order, Dtype::F32)) else { continue };
            let region = &models.target.regions[number];
            let width = unit(region.dtype).1 as usize;
            let Some(target) = floats.get(&number).and_then(|start| start.get(..self.count as usize * width)) else {
                continue;
            };
            let wanted = singles(region.dtype, target);
            for rounded in roundings(&order, &dtypes) {
                let order = Unpacked { rounded, ..order };
                let words = take(&order, region.dtype);
                let others = words.chunks(width).zip(target.chunks(width)).filter(|(a, b)| a != b).count();
                let distance = distance(&singles(region.dtype, &words), &wanted);
                let is_better = best.as_ref().is_none_or(|(least, ..)| (others, distance) < *least);
                if (others == 0 || distance <= NEAR) && is_better {
                    best = Some(((others, distance), number, order));
                }
            }
        }
        best.map(|(_, number, order)| (number, order))
    }

    /// The region that begins with weights like these; the only one, if there are no others.
    fn like(&self, models: &Models, weights: &[u8]) -> Option<usize> {
        if let [number] = self.regions[..] {
            return Some(number);
        }
        let signature = Signature::of(Dtype::F32, weights);
        let share = |&number: &usize| {
            let start = models.starts.get(&Subject::Target(number))?;
            Some((signature.likeness(start).related_share()?, number))
        };
        let found = self.regions.iter().filter_map(share).min_by(|a, b| a.0.total_cmp(&b.0));
        found.map(|(_, number)| number)
    }
}

/// Regions of the target by their shapes, the first few of which are tried.
fn of_shapes(models: &Models, regions: &[usize]) -> Vec<Vec<usize>> {
    let mut shapes: Vec<(&[u64], Vec<usize>)> = Vec::new();
    for &number in regions {
        let shape = &models.target.regions[number].shape[..];
        match shapes.iter().position(|(other, _)| *other == shape) {
            Some(known) => shapes[known].1.push(number),
            None if shapes.len() < SHAPES => shapes.push((shape, vec![number])),
            None => {}
        }
    }
    shapes.into_iter().map(|(_, regions)| regions).collect()
}

/// The roundings that dequantisers make: none, that of the weight, and that of both.
fn roundings(order: &Unpacked, dtypes: &[Dtype]) -> Vec<[Dtype; 2]> {
    let scales = order.parts().zip(dtypes).find(|(part, _)| *part == Part::Scales).map(|(_, dtype)| *dtype);
    let of_scales = scales.filter(|&dtype| is_factor(dtype) && PACKINGS[usize::from(order.packing)].has_biases());
    let weight = [Dtype::F32, Dtype::BF16, Dtype::F16].map(|weight| [Dtype::F32, weight]);
    weight.into_iter().chain(of_scales.map(|dtype| [dtype; 2])).collect()
}

/// The mean distance of numbers from what they should be, as a share of the mean magnitude.
fn distance(numbers: &[f32], wanted: &[f32]) -> f32 {
    let distances: f32 = numbers.iter().zip(wanted).map(|(number, wanted)| (number - wanted).abs()).sum();
    distances / wanted.iter().map(|wanted| wanted.abs()).sum::<f32>()
}

/// The weights that packed numbers in a region stand for, in the order of a matrix such as `other`,
/// without an offset. `turned` is that of [`orders`]; `None` if its shape is not that of the numbers.
pub(in crate::encode) fn in_order(region: &Region, known: &Known, other: &Region, turned: bool) -> Option<Unpacked> {
    let order = orders(region, known, other, turned)?.0;
    Some(Unpacked {
        packing: known.packing,
        tiles: known.tiles,
        matrices: Transposed { rows: order.matrices.columns, columns: order.matrices.rows },
        element: order.element,
        rounded: [Dtype::F32; 2],
        has_factor: known.factor.is_some(),
        offset: 0,
    })
}

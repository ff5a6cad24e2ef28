//! Weights that an adapter was merged into: which regions have them, and by which arithmetic. Some
//! rows of each candidate tell.

use std::collections::VecDeque;
use std::ops::Range;

use crate::adapter::{Adapter, Pair};
use crate::archive::v2::{Merge, Run, View, units};
use crate::cast::cast;
use crate::chunk::unit;
use crate::io::{Read, Source};
use crate::layout::{Dtype, Region};
use crate::merge::{Arithmetic, Update, is_factor};
use crate::pairing::Models;
use crate::plan::{BaseSet, Place};

/// The number of words of a sample.
const SAMPLE: usize = 1 << 14;

/// The number of reads of a candidate: target, base and both factors.
const READS: usize = 4;

/// The search for merged regions.
#[derive(Debug, Default)]
pub(super) struct Merges {
    candidates: VecDeque<Candidate>,
    /// The bytes that were read for the first candidate.
    parts: Vec<Vec<u8>>,
    found: Vec<(usize, Merge)>,
}

/// A region that an adapter may have been merged into.
#[derive(Debug)]
struct Candidate {
    region: usize,
    dtype: Dtype,
    /// The dtype of the base's words.
    base: Dtype,
    /// The rows of the sample.
    rows: Range<usize>,
    pair: Pair,
    /// The adapter's factors.
    places: [Place; 2],
    merge: Merge,
}

impl Merges {
    /// Finds the candidates: regions whose view is one base tensor that an adapter changes. Returns
    /// the reads that decide about them.
    pub(super) fn plan(&mut self, models: &Models, adapters: &[(usize, Adapter)], views: &[Option<View>]) -> Vec<Read> {
        let mut reads = Vec::new();
        for (region, view) in views.iter().enumerate() {
            let target = &models.target.regions[region];
            let origin = view.as_ref().and_then(|view| whole(&models.bases, target, view));
            let candidate = origin.and_then(|place| candidate(models, adapters, region, place).map(|it| (it, place)));
            if let Some((candidate, place)) = candidate {
                reads.extend(candidate.reads(models, place));
                self.candidates.push_back(candidate);
            }
        }
        reads
    }

    /// Takes the bytes of the next read.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.parts.push(bytes.to_vec());
        if self.parts.len() == READS {
            let parts = std::mem::take(&mut self.parts);
            let Some(candidate) = self.candidates.pop_front() else { return };
            if let Some(arithmetic) = candidate.arithmetic(&parts) {
                self.found.push((candidate.region, Merge { arithmetic, ..candidate.merge }));
            }
        }
    }

    /// The merges that were found, by region.
    pub(super) fn finish(self) -> Vec<(usize, Merge)> {
        self.found
    }
}

/// The base region that a view takes as a whole.
fn whole(bases: &BaseSet, target: &Region, view: &View) -> Option<Place> {
    let [origin] = view.origins.as_slice() else { return None };
    let run = Run { units: units(target), from: Some((0, 0)) };
    let place = *bases.named(&origin.name).iter().find(|place| place.base == origin.base)?;
    (view.runs == [run] && bases.region(place).dtype == origin.dtype).then_some(place)
}

fn candidate(models: &Models, adapters: &[(usize, Adapter)], region: usize, place: Place) -> Option<Candidate> {
    let (target, base) = (&models.target.regions[region], models.bases.region(place));
    let (file, pair) = adapters.iter().find_map(|(file, adapter)| {
        let pair = adapter.pairs.get(adapter.find(&base.name)?)?;
        Some((*file, pair.clone()))
    })?;
    let shape = pair.shape;
    let fits = target.shape == [shape.rows as u64, shape.columns as u64] && is_factor(base.dtype);
    if !fits || !is_factor(target.dtype) {
        return None;
    }
    let count = (SAMPLE / shape.columns).clamp(1, shape.rows);
    let first = (shape.rows - count) / 2;
    let places = [pair.a, pair.b].map(|region| Place { base: file, region });
    let [a, b] = places.map(|place| models.bases.origin(place));
    let arithmetic = Arithmetic { scale: pair.scale.to_bits(), product: Dtype::F32, change: Dtype::F32 };
    let merge = Merge { a, b, rank: shape.rank as u64, transposed: shape.transposed, arithmetic };
    Some(Candidate { region, dtype: target.dtype, base: base.dtype, rows: first..first + count, pair, places, merge })
}

impl Candidate {
    fn reads(&self, models: &Models, place: Place) -> [Read; READS] {
        let shape = self.pair.shape;
        let words = |region: &Region, words: Range<usize>| {
            let width = unit(region.dtype).1;
            region.offset + words.start as u64 * width..region.offset + words.end as u64 * width
        };
        let of_base =
            |place: Place, range| Read::new(Source::Base(place.base), words(models.bases.region(place), range));
        let rows = self.rows.start * shape.columns..self.rows.end * shape.columns;
        let numbers = match shape.transposed {
            true => 0..shape.of_b(),
            false => self.rows.start * shape.rank..self.rows.end * shape.rank,
        };
        [
            Read::new(Source::Target, words(&models.target.regions[self.region], rows.clone())),
            of_base(place, rows),
            of_base(self.places[0], 0..shape.of_a()),
            of_base(self.places[1], numbers),
        ]
    }

    /// The arithmetic that gives the most words of the sample; `None` if the merged words are not
    /// much nearer to the target than the base's.
    fn arithmetic(&self, parts: &[Vec<u8>]) -> Option<Arithmetic> {
        let [target, base, a, b] = parts else { return None };
        let mut before = vec![0; target.len()];
        cast(self.base, self.dtype, base, &mut before);
        let (a, b) = ((a.as_slice(), self.merge.a.dtype), (b.as_slice(), self.merge.b.dtype));
        let rows = (self.rows.start, self.rows.len());
        let mut update = Update::new(self.merge.arithmetic, self.pair.shape, rows, a, b);
        let mut best: Option<(usize, Vec<u8>, Arithmetic)> = None;
        for arithmetic in self.candidates() {
            update = update.with(arithmetic);
            let mut merged = before.clone();
            update.apply(self.dtype, 0, &mut merged);
            let equal = equal(self.dtype, &merged, target);
            if best.as_ref().is_none_or(|(most, ..)| equal > *most) {
                best = Some((equal, merged, arithmetic));
            }
        }
        let (_, merged, arithmetic) = best?;
        let distance = |words: &[u8]| distance(self.dtype, words, target);
        (distance(&merged) * 2.0 < distance(&before)).then_some(arithmetic)
    }

    /// The roundings that merges have: none, or those of a narrow dtype of the adapter or the
    /// target, behind the scale or also before it.
    fn candidates(&self) -> Vec<Arithmetic> {
        let mut all = vec![self.merge.arithmetic];
        for narrow in [self.dtype, self.merge.b.dtype] {
            let wide = narrow == Dtype::F32;
            for product in [Dtype::F32, narrow].into_iter().filter(|_| !wide) {
                let other = Arithmetic { product, change: narrow, ..self.merge.arithmetic };
                if !all.contains(&other) {
                    all.push(other);
                }
            }
        }
        all
    }
}

/// The number of equal words.
fn equal(dtype: Dtype, some: &[u8], others: &[u8]) -> usize {
    let width = dtype.words().0;
    some.chunks(width).zip(others.chunks(width)).filter(|(a, b)| a == b).count()
}

/// The sum of the differences of all pairs of finite words.
fn distance(dtype: Dtype, some: &[u8], others: &[u8]) -> f64 {
    let value = |words: &[u8]| {
        let mut wide = vec![0; words.len() / dtype.words().0 * 4];
        cast(dtype, Dtype::F32, words, &mut wide);
        wide
    };
    let (some, others) = (value(some), value(others));
    let pairs = some.as_chunks().0.iter().zip(others.as_chunks().0);
    let differences = pairs.map(|(a, b)| f64::from(f32::from_le_bytes(*a)) - f64::from(f32::from_le_bytes(*b)));
    differences.filter(|difference| difference.is_finite()).map(f64::abs).sum()
}

//! Packed numbers that were quantised from weights of the base: the base region of each, the order
//! of its weights there, and what the scales follow from.

use std::collections::{HashMap, HashSet, VecDeque};

use super::floats::Floats;
use super::fused::Fused;
use super::nested::Nested;
use super::spans::{NEAR, distance, fit, fit_powers};
use super::views::is_open;
use crate::archive::v2::{View, units};
use crate::cast::{can_cast, singles};
use crate::chunk::unit;
use crate::derived::{Derived, Gives, Span};
use crate::encode::companions::{self, Known};
use crate::io::{Read, Source};
use crate::layout::{Dtype, Kind, Layout, Region};
use crate::pairing::{Models, Signature, Subject, WORDS, weights};
use crate::plan::Place;
use crate::quant::packed::{Code, Companions, PACKINGS, Packing, Zeros, is_power, is_scale};
use crate::transposed::Transposed;

/// Scales that are compared with the weights that they may follow from.
const SCALES: u64 = 64;

/// Comparisons of signatures, at most, so that forged models of many equal shapes take no longer.
const COMPARISONS: usize = 1 << 24;

/// Maximum number of bytes of the weights of a sample.
const SAMPLE: u64 = 1 << 20;

/// The same for weights of a column, of which all rows are read.
const COLUMN: u64 = 4 << 20;

/// The longest run of integers of 8 bits whose weights are looked for: that of quantisers with scales
/// of groups.
const LONGEST_RUN: u64 = 256;

/// The packed regions of the target, and what was found for them.
#[derive(Debug, Default)]
pub(super) struct Quantised {
    known: Vec<Known>,
    /// The starts of these regions and of their scales, by their regions.
    starts: HashMap<usize, Vec<u8>>,
    /// The regions whose starts are kept.
    kept: HashSet<usize>,
    /// The floats of regions that are fused in one model and split in the other.
    fused: Fused,
    floats: HashMap<usize, Floats>,
    samples: VecDeque<Sample>,
    nested: Nested,
    views: Vec<(usize, View)>,
}

/// Scales and their weights, of which at first neither is read.
#[derive(Debug)]
struct Sample {
    region: usize,
    floats: Floats,
    derived: Derived,
    /// The order of the weights in the part of the base that is read.
    first: Derived,
    /// The span and the divisor, if no others may be.
    only: Option<(Span, f32)>,
    /// Number of scales.
    count: u64,
    scales: Option<Vec<u8>>,
}

impl Quantised {
    pub(super) fn new(target: &Layout) -> Self {
        let known = companions::find(target);
        let searched = known.iter().filter(|known| is_searched(&target.regions[known.region], known));
        Self { kept: searched.flat_map(Known::starting).collect(), known, ..Self::default() }
    }

    /// Takes the start of a region of the target.
    pub(super) fn start(&mut self, region: usize, bytes: &[u8]) {
        if self.kept.contains(&region) {
            self.starts.insert(region, bytes.to_vec());
        }
    }

    /// Finds the floats of the packed regions that have no other view, as far as one base region has
    /// them, and begins the search for those of others. Integers of 8 bits with views have found
    /// theirs.
    pub(super) fn find(&mut self, models: &Models, views: &[Option<View>]) {
        let mut by_count: HashMap<u64, Vec<Place>> = HashMap::new();
        for subject in models.base_regions() {
            if let (Subject::Base(place), region) = (subject, models.region(subject).1)
                && is_float(region)
            {
                by_count.entry(weights(region)).or_default().push(place);
            }
        }
        let mut left = COMPARISONS;
        self.known.iter_mut().for_each(|known| {
            let start = |region: usize| self.starts.get(&region);
            *known = known.resolved(start, models.target.regions[known.region].length);
        });
        let mut alone = Vec::new();
        for known in self.known.iter().filter(|known| is_open(models, views, known.region)) {
            let region = &models.target.regions[known.region];
            if !is_searched(region, known) && views[known.region].is_some() {
                continue;
            }
            let places = by_count.get(&numbers_of(region, known)).filter(|_| is_searched(region, known));
            let place = places.and_then(|places| {
                left = left.saturating_sub(places.len());
                let by_content = if left > 0 { &places[..] } else { &[] };
                base_of(models, known, self.begin(models, known), by_content)
            });
            match place {
                Some(place) => drop(self.floats.insert(known.region, Floats::whole(models, place))),
                None => alone.push(*known),
            }
        }
        self.fused = Fused::new(models, alone);
    }

    /// The reads that the search needs next.
    pub(super) fn wanted(&mut self, models: &Models) -> Vec<Read> {
        self.fused.wanted(models)
    }

    /// The signature of the first weights of a packed region.
    fn begin(&self, models: &Models, known: &Known) -> Signature {
        let begin = |region: usize| Some((models.target.regions[region].dtype, &self.starts.get(&region)?[..]));
        signature(known, begin).unwrap_or_default()
    }

    /// Makes views of the packed regions whose floats were found, and plans to read samples of their
    /// scales and weights.
    pub(super) fn plan(&mut self, models: &Models, views: &[Option<View>]) -> Vec<Read> {
        let is_open = |region: usize| is_open(models, views, region);
        let mut reads = self.nested.reads(models, &self.known);
        self.floats.extend(std::mem::take(&mut self.fused).finish(models));
        for (index, known) in self.known.clone().into_iter().enumerate() {
            let region = &models.target.regions[known.region];
            let Some(floats) = self.floats.get(&known.region).cloned() else { continue };
            if !is_searched(region, &known) {
                self.views.push((known.region, floats.runs(models)));
                continue;
            }
            let turned =
                floats.place().is_some_and(|place| is_turned(models, &known, self.begin(models, &known), place));
            let Some((numbers, scales)) = orders(region, &known, &floats.region, turned) else { continue };
            if numbers.check(region, floats.region.dtype).is_err() {
                continue;
            }
            let view = floats.derived(models, region, numbers);
            self.views.extend(view.map(|view| (known.region, view)));
            let companions = [(Some(known.scales), Span::Slope), (known.biases(), Span::Bias)];
            if known.nested().is_some() {
                self.nested.plan(index, floats, scales.filter(|_| is_open(known.scales)));
                continue;
            }
            for (companion, span) in companions {
                let Some((region, order)) = companion.filter(|region| is_open(*region)).zip(scales) else { continue };
                let only = known.biases().map(|_| (span, f32::from(PACKINGS[usize::from(known.packing)].mask())));
                reads.extend(self.sample(models, region, floats.clone(), order, only).into_iter().flatten());
            }
        }
        reads
    }

    /// Plans to read scales and their weights; `None` if too much would be read.
    fn sample(
        &mut self,
        models: &Models,
        region: usize,
        floats: Floats,
        derived: Derived,
        only: Option<(Span, f32)>,
    ) -> Option<[Read; 2]> {
        let (target, base) = (&models.target.regions[region], &floats.region);
        let gives = Gives::Spans(Span::Largest, 1f32.to_bits());
        Derived { gives, ..derived }.check(target, base.dtype).ok().filter(|()| is_scale(target.dtype))?;
        let (count, first) = first_of(&derived, units(target), floats.first(), unit(base.dtype).1)?;
        let needs = first.needs(&(0..count), count);
        let read = floats.read(models, &needs)?;
        let scales = target.offset..target.offset + count * unit(target.dtype).1;
        self.samples.push_back(Sample { region, floats, derived, first, only, count, scales: None });
        Some([Read::new(Source::Target, scales), read])
    }

    /// Takes the bytes of the next read that was planned.
    pub(super) fn feed(&mut self, models: &Models, bytes: &[u8]) {
        if self.fused.feed(models, bytes) || self.nested.feed(bytes) {
            return;
        }
        let Some(mut sample) = self.samples.pop_front() else { return };
        let Some(scales) = sample.scales.take() else {
            self.samples.push_front(Sample { scales: Some(bytes.to_vec()), ..sample });
            return;
        };
        let (target, base) = (&models.target.regions[sample.region], &sample.floats.region);
        let weights = sample.first.take(&(0..sample.count), sample.count, (base.dtype, bytes), Dtype::F32);
        let weights = singles(Dtype::F32, &weights);
        let per_scale = sample.derived.per_run as usize;
        let found = if is_power(target.dtype) {
            fit_powers(&scales, &weights, per_scale)
        } else {
            let scales = singles(target.dtype, &scales);
            match sample.only {
                Some((span, divisor)) => {
                    let near = distance(&scales, &weights, per_scale, (span, divisor)) <= NEAR;
                    near.then_some((span, divisor))
                }
                None => fit(&scales, &weights, per_scale),
            }
        };
        let Some((span, divisor)) = found else { return };
        let derived = Derived { gives: Gives::Spans(span, divisor.to_bits()), ..sample.derived };
        let view = sample.floats.derived(models, target, derived);
        self.views.extend(view.map(|view| (sample.region, view)));
    }

    /// The packed regions, and the views that were found, with their regions.
    pub(super) fn finish(mut self, models: &Models) -> (Vec<Known>, Vec<(usize, View)>) {
        self.views.extend(self.nested.finish(models, &mut self.known));
        (self.known, self.views)
    }
}

/// Returns true for floats of more than 8 bits that have casts.
pub(super) fn is_float(region: &Region) -> bool {
    can_cast(region.dtype, Dtype::F32) && unit(region.dtype).1 > 1
}

/// The signature of the first weights of a packed region, as if all zero points were the middle.
/// `start` gives the starts of regions.
pub(super) fn signature<'a>(known: &Known, start: impl Fn(usize) -> Option<(Dtype, &'a [u8])>) -> Option<Signature> {
    let packing = &PACKINGS[usize::from(known.packing)];
    let zeros = known.biases().and_then(&start);
    // One scale for all weights does not matter.
    let scales = start(known.scales).unwrap_or((Dtype::F32, &[]));
    let affine = packing.affine(&known.tiles, Companions { scales, zeros, factor: None, offset: 0.0 });
    let mut numbers = packing.numbers(start(known.region)?.1);
    numbers.truncate(WORDS);
    let mut tiles = vec![0; numbers.len()];
    packing.tiles(&known.tiles, 0, 0, &mut tiles);
    let middle = if packing.zeros == Zeros::Points { f32::from(packing.mask() / 2) } else { 0.0 };
    let mut weights = vec![0f32; numbers.len()];
    for (i, (&number, &tile)) in numbers.iter().zip(&tiles).enumerate() {
        let (scale, bias) = affine.get(tile as usize).copied().unwrap_or((1.0, 0.0));
        let place = packing.weight(i).min(weights.len() - 1);
        weights[place] = (packing.levels.value(packing.index(number)) - middle) * scale + bias;
    }
    let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    Some(Signature::of(Dtype::F32, &bytes))
}

/// Returns true if the weights of a packed region are looked for. Integers of 8 bits that are no parts
/// of words are coded by steps of their own, unless they are in short runs.
pub(in crate::encode) fn is_searched(region: &Region, known: &Known) -> bool {
    let packing = &PACKINGS[usize::from(known.packing)];
    let is_run = known.tiles.rows == 1 && known.tiles.columns == known.tiles.width;
    let in_runs = packing.code == Code::Plain && is_run && known.tiles.width <= LONGEST_RUN;
    packing.bits < 8 || unit(region.dtype).1 > 1 || packing.float().is_some() || in_runs
}

/// The packed numbers of a region.
pub(super) fn numbers_of(region: &Region, known: &Known) -> u64 {
    PACKINGS[usize::from(known.packing)].count(region.length)
}

/// The base region with the weights of a packed region that begins with this signature: that of its
/// name, or else the most alike of `places`, which have as many weights.
fn base_of(models: &Models, known: &Known, start: Signature, places: &[Place]) -> Option<Place> {
    let region = &models.target.regions[known.region];
    let fits = |place: &&Place| {
        let base = models.bases.region(**place);
        // Floats of fewer bytes are quantised themselves.
        weights(base) == numbers_of(region, known) && can_cast(base.dtype, Dtype::F32) && unit(base.dtype).1 > 1
    };
    names(region, known).iter().flat_map(|name| models.bases.named(name)).find(fits).copied().or_else(|| {
        let found = places.iter().filter_map(|&place| Some((share(models, start, place)?, place)));
        found.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, place)| place)
    })
}

/// Returns true if the rows of a packed region that begins with this signature are the columns of a
/// base region. Graphs multiply by the matrices that their quantisers transpose; other models may
/// hold the floats of stacked experts so. Numbers of 2 bits hardly tell if weights are alike.
fn is_turned(models: &Models, known: &Known, start: Signature, place: Place) -> bool {
    let is_coarse = PACKINGS[usize::from(known.packing)].bits == 2;
    if models.target.kind == Kind::Places {
        let is_graph = !is_coarse || models.bases.layouts()[place.base].kind == Kind::Places;
        return is_graph && share(models, start, place).is_none();
    }
    let [ref stack @ .., _, columns] = models.bases.region(place).shape[..] else { return false };
    let rows = models.target.regions[known.region].shape.strip_prefix(stack);
    let is_stack = !stack.is_empty() && rows.is_some_and(|rows| rows.first() == Some(&columns));
    let other = models.starts.get(&Subject::Base(place));
    is_stack && !is_coarse && other.is_some_and(|other| start.likeness(other).is_unrelated())
}

/// The names that the weights of a packed region may have.
pub(super) fn names(region: &Region, known: &Known) -> [String; 3] {
    let stem = &region.name[..known.stem];
    let bare = stem.trim_end_matches(['.', '_']);
    [format!("{stem}weight"), format!("{bare}.weight"), bare.to_owned()]
}

/// The share of bits of a signature that differ from those of a base region's start, if the weights
/// are related and in the same order.
fn share(models: &Models, start: Signature, place: Place) -> Option<f32> {
    start.likeness(models.starts.get(&Subject::Base(place))?).related_share()
}

/// The numbers of the fewest words of so many bytes that have whole numbers, and these words.
fn per_run(packing: &Packing, width: u64) -> (u64, u64) {
    let words = if packing.count(width) * u64::from(packing.bits) == 8 * width { 1 } else { packing.bits.into() };
    (packing.count(width * words), words)
}

/// The orders of the weights of packed numbers and of their scales in a base region, `turned` if
/// the rows of plain runs are its columns; `None` if its shape is not that of the numbers.
pub(super) fn orders(
    region: &Region,
    known: &Known,
    base: &Region,
    turned: bool,
) -> Option<(Derived, Option<Derived>)> {
    let packing: &Packing = &PACKINGS[usize::from(known.packing)];
    let (count, tiles) = (packing.count(region.length), known.tiles);
    let (per_word, run) = per_run(packing, unit(region.dtype).1);
    let derived = |matrices: Transposed, element: u64, per_run: u64| Derived {
        matrices,
        element,
        per_run,
        run: 1,
        gives: Gives::Weights,
    };
    let transposed = |rows: u64, columns: u64| Transposed { rows, columns };
    let is_matrix = |rows: u64, columns: u64| base.shape == [rows, columns];
    if packing.is_interleaved() {
        // The rows of the matrix are the base's columns.
        let (outer, inner) = (tiles.width, count / tiles.width);
        let numbers = derived(transposed(outer, inner), 1, per_word);
        let scales = derived(transposed(outer, inner / tiles.rows), tiles.rows, tiles.rows);
        return is_matrix(outer, inner).then_some((numbers, Some(scales)));
    }
    if tiles.rows > 1 && per_word > 1 {
        // A word has several of the base's columns, and the words of all its rows follow each other.
        let outer = tiles.width / tiles.columns;
        let (inner, group) = (count / outer, tiles.rows * tiles.columns);
        let numbers = derived(transposed(outer, inner / per_word), per_word, per_word);
        let scales = derived(transposed(outer, inner / group), group, group);
        return (is_matrix(outer, inner) && tiles.columns == per_word).then_some((numbers, Some(scales)));
    }
    let matrices = match base.shape[..] {
        [rows, columns] | [_, rows, columns] if turned => transposed(rows, columns),
        _ => transposed(1, 1),
    };
    let numbers = Derived { run, ..derived(matrices, 1, per_word) };
    let rows = count / tiles.width;
    let scales = if tiles.rows == 1 {
        Some(derived(matrices, 1, tiles.columns))
    } else if tiles.columns == tiles.width && rows.is_multiple_of(tiles.rows) {
        Some(derived(matrices, 1, tiles.rows * tiles.columns))
    } else {
        // The columns of a matrix that is not turned already.
        let one = tiles.columns == 1 && tiles.rows == rows && matrices == transposed(1, 1);
        one.then(|| derived(transposed(rows, tiles.width), 1, rows))
    };
    Some((numbers, scales))
}

/// The number of the first scales of a sample, of which there are `scales`, and the order of their
/// weights among the first of a base region, of which `weights` of `width` bytes are in one piece;
/// `None` if too much would be read.
fn first_of(derived: &Derived, scales: u64, weights: u64, width: u64) -> Option<(u64, Derived)> {
    let Transposed { rows, columns } = derived.matrices;
    let (count, first) = if rows == 1 {
        (weights / derived.per_run, rows)
    } else if derived.element == derived.per_run {
        // Those of the first elements of as many rows.
        let count = SCALES.min(scales).min(rows).min(weights / (columns * derived.element));
        (count, count)
    } else {
        // Those of the first column, as far as its rows may be read.
        let runs = (COLUMN / (columns * width)).min(SCALES * derived.per_run) / derived.per_run;
        let own = runs * derived.per_run;
        if own > 0 && own < rows { (runs, own) } else { (SCALES, rows) }
    };
    let count = SCALES.min(scales).min(count);
    let order = Derived { matrices: Transposed { rows: first, columns }, ..*derived };
    let most = if rows > 1 && derived.element < derived.per_run { COLUMN } else { SAMPLE };
    let needs = (count > 0).then(|| order.needs(&(0..count), count))?;
    ((needs.end - needs.start) * width <= most).then_some((count, order))
}

//! The survey of the inputs before a v2 archive is planned: it reads the bytes between regions, and
//! looks for regions that are equal or alike.
//!
//! The start of each region is read first. Regions of the target whose starts are equal are then
//! read as a whole, to find those that equal an earlier one. The starts also pair the target's
//! regions with the base's ([`pairing`](crate::pairing)), which may take more reads: of the places
//! where a part of a region may end, and of all rows of a matrix that has gained or lost some.

mod alignment;
mod described;
mod duplicates;
mod floats;
mod fused;
mod merges;
mod nested;
mod parts;
mod quantised;
mod queues;
mod spans;
mod unpacked;
mod views;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::adapter::Adapter;
use crate::archive::v2::{MAX_STRETCH, View, longest_span};
use crate::chunk::unit;
use crate::encode::companions::{self, Known};
use crate::io::{Read, Source};
use crate::layout::{Layout, Region};
use crate::pairing::{
    Chains, Corners, Crops, Models, Moved, Rows, Seek, Sides, Signature, Stack, Subject, WORDS, whole_pairs,
};
use crate::plan::{BaseSet, Place};
use crate::quant::weights_per_unit;
use alignment::Alignments;
use duplicates::Duplicates;
use merges::Merges;
pub(in crate::encode) use nested::{STATE, offset};
use quantised::Quantised;
pub(in crate::encode) use quantised::is_searched;
use unpacked::Weights;
pub(in crate::encode) use unpacked::in_order;
use views::is_cast_up;

/// Minimum length in bytes of a region to match by content; shorter ones are not worth a read.
const LEAST: u64 = 256;

/// Minimum length in bytes of a header to compare with that of the base.
pub(super) const LEAST_HEADER: u64 = 1 << 10;

/// Maximum number of bytes of a read.
const STEP: u64 = 8 << 20;

/// The results of the survey.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) target: Layout,
    pub(super) bases: BaseSet,
    /// The spans of the target that the head can hold, by their offsets.
    pub(super) spans: HashMap<u64, Vec<u8>>,
    /// The view of the base for each region of the target, if it has one.
    pub(super) views: Vec<Option<View>>,
    /// The earlier region of the target that each region equals, if there is one.
    pub(super) earlier: Vec<Option<usize>>,
    /// The packed regions of the target.
    pub(super) packed: Vec<Known>,
    /// The header of the first base file of the target's kind.
    pub(super) base_header: Vec<u8>,
}

impl Findings {
    /// Pairs no regions, and looks for nothing.
    pub(super) fn alone(target: Layout, bases: BaseSet) -> Self {
        let count = target.regions.len();
        Self {
            target,
            bases,
            spans: HashMap::new(),
            views: vec![None; count],
            earlier: vec![None; count],
            packed: Vec::new(),
            base_header: Vec::new(),
        }
    }

    /// Pairs each region with the base region of its name and type, and looks for nothing else.
    pub(super) fn by_name(target: Layout, bases: BaseSet) -> Self {
        let view = |region: &Region| Some(View::whole(region, bases.origin(bases.partner(region)?)));
        let views = target.regions.iter().map(view).collect();
        // Offsets of nested scales are not read.
        let packed = companions::find(&target).into_iter().filter(|known| known.nested().is_none()).collect();
        Self { views, packed, ..Self::alone(target, bases) }
    }
}

/// The purpose of one read.
#[derive(Debug)]
enum Probe {
    Span(u64),
    /// The header of a base file.
    BaseHeader,
    Start(Subject),
    /// A section of a region that may equal another one.
    Duplicate,
    /// The second row of a region that was paired by its first words.
    SecondRow(Subject),
    /// The start of the next part of a chain.
    Part(usize),
    /// The rest of a part that the end of a whole cuts, and the part.
    Rest(usize, Subject),
    /// Bytes in which the next tensor of guessed floats may begin, for the search with this index.
    Seek(usize),
    /// Words of guessed floats from one on, whose signs tell where they are in others.
    Moved(Subject, u64),
    /// Words before or behind such floats that are alike.
    MovedEnd(usize, bool),
    /// The rows that hold the corner of a matrix.
    Corner(Subject, Stack),
    /// The rows that hold corners of matrices that may stand side by side.
    Side(Rows),
    /// The first rows of a matrix whose columns are aligned.
    Crop,
    /// All rows of such a matrix.
    CropRows,
    /// Rows of a matrix.
    Rows,
    /// A sample of a region that an adapter may have been merged into.
    Merge,
    /// Scales of packed numbers, or the weights that they may follow from.
    Scales,
    /// Floats, or packed numbers of the base whose weights they may be.
    Weights,
}

/// The stage that the queued reads belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starts,
    Duplicates,
    Parts,
    Rows,
    Merges,
    Floats,
    Scales,
    Weights,
    Done,
}

/// The state of the survey: its findings so far, and the reads that are queued.
#[derive(Debug)]
pub(super) struct Survey {
    models: Models,
    spans: HashMap<u64, Vec<u8>>,
    base_header: Vec<u8>,
    views: Vec<Option<View>>,
    queue: VecDeque<(Read, Probe)>,
    stage: Stage,
    duplicates: Duplicates,
    pairs: Vec<Option<Place>>,
    chains: Chains,
    corners: Corners,
    sides: Sides,
    crops: Crops,
    moved: Moved,
    second_rows: HashMap<Subject, Signature>,
    alignments: Alignments,
    /// The adapters among the base files.
    adapters: Vec<(usize, Adapter)>,
    merges: Merges,
    quantised: Quantised,
    weights: Weights,
    /// The searches for tensors in guessed regions, once they are planned.
    seeks: Option<Vec<Seek>>,
    /// The guessed regions of one model were described by those of the other one.
    is_described: bool,
}

impl Survey {
    pub(super) fn new(target: Layout, bases: BaseSet, adapters: Vec<(usize, Adapter)>) -> Self {
        Self::of_layout(target, bases, adapters, false)
    }

    fn of_layout(target: Layout, bases: BaseSet, adapters: Vec<(usize, Adapter)>, is_described: bool) -> Self {
        let models = Models { target, bases, starts: HashMap::new() };
        let mut survey = Self {
            views: vec![None; models.target.regions.len()],
            duplicates: Duplicates::default(),
            quantised: Quantised::new(&models.target),
            weights: Weights::new(&models.bases),
            alignments: Alignments::new(&models),
            models,
            spans: HashMap::new(),
            base_header: Vec::new(),
            queue: VecDeque::new(),
            stage: Stage::Starts,
            pairs: Vec::new(),
            chains: Chains::default(),
            corners: Corners::default(),
            sides: Sides::default(),
            crops: Crops::default(),
            moved: Moved::default(),
            second_rows: HashMap::new(),
            adapters,
            merges: Merges::default(),
            seeks: None,
            is_described,
        };
        survey.queue_spans();
        survey.queue_starts();
        survey.advance();
        survey
    }

    pub(super) fn wants(&self) -> Option<Read> {
        self.queue.front().map(|(read, _)| *read)
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Some((_, probe)) = self.queue.pop_front() else { return };
        match probe {
            Probe::Span(offset) => drop(self.spans.insert(offset, bytes.to_vec())),
            Probe::BaseHeader => self.base_header = bytes.to_vec(),
            Probe::Start(subject) => self.start(subject, bytes),
            Probe::Duplicate => self.duplicates.feed(bytes),
            Probe::SecondRow(subject) => {
                let signature = self.signature(subject, bytes);
                self.second_rows.insert(subject, signature);
            }
            Probe::Part(chain) => {
                let signature = self.signature(self.chains.whole(chain), bytes);
                self.chains.advance(&self.models, chain, signature);
            }
            Probe::Rest(cut, part) => {
                let signature = self.signature(part, bytes);
                self.chains.rest(&self.models, cut, signature);
            }
            Probe::Seek(index) => {
                self.seeks.iter_mut().flatten().nth(index).into_iter().for_each(|seek| seek.feed(&self.models, bytes))
            }
            Probe::Moved(subject, start) => self.moved.feed(&self.models, (subject, start), bytes),
            Probe::MovedEnd(segment, behind) => self.moved.feed_end(&self.models, (segment, behind), bytes),
            Probe::Corner(subject, stack) => self.corners.feed(&self.models, (subject, stack), bytes),
            Probe::Side(rows) => self.sides.feed(&self.models, rows, bytes),
            Probe::Crop => self.crops.feed(&self.models, bytes),
            Probe::CropRows => self.crops.feed_rows(&self.models, bytes),
            Probe::Rows => self.alignments.feed(bytes),
            Probe::Merge => self.merges.feed(bytes),
            Probe::Scales => self.quantised.feed(&self.models, bytes),
            Probe::Weights => self.weights.feed(&self.models, bytes),
        }
        self.advance();
    }

    /// The signature of words of a region.
    fn signature(&self, subject: Subject, bytes: &[u8]) -> Signature {
        Signature::of(self.models.region(subject).1.dtype, bytes)
    }

    /// Takes the start of a region.
    fn start(&mut self, subject: Subject, bytes: &[u8]) {
        let signature = self.signature(subject, bytes);
        self.models.starts.insert(subject, signature);
        match subject {
            Subject::Target(region) => {
                self.duplicates.start(region, bytes);
                self.quantised.start(region, bytes);
                self.weights.float(&self.models, region, bytes);
            }
            Subject::Base(place) => self.weights.start(place, bytes),
        }
    }

    pub(super) fn finish(self) -> Findings {
        let Self { models, spans, base_header, mut views, duplicates, merges, quantised, weights, .. } = self;
        let (packed, derived) = quantised.finish(&models);
        let Models { target, bases, .. } = models;
        for (region, merge) in merges.finish() {
            views[region].iter_mut().for_each(|view| view.merge = Some(Box::new(merge.clone())));
        }
        for (region, view) in derived.into_iter().chain(weights.finish()) {
            views[region] = Some(view);
        }
        let earlier = duplicates.finish(target.regions.len());
        Findings { target, bases, spans, views, earlier, packed, base_header }
    }

    /// Goes on to the next stage that has reads while the queue is empty.
    fn advance(&mut self) {
        while self.queue.is_empty() && self.stage != Stage::Done {
            self.stage = match self.stage {
                Stage::Starts => {
                    let reads = self.duplicates.reads(&self.models.target);
                    self.queue.extend(reads.into_iter().map(|read| (read, Probe::Duplicate)));
                    Stage::Duplicates
                }
                Stage::Duplicates => {
                    self.pairs = whole_pairs(&self.models);
                    self.chains = Chains::new(&self.models, &self.pairs);
                    self.queue_second_rows();
                    self.queue_corners();
                    self.queue_sides();
                    self.queue_moved();
                    Stage::Parts
                }
                Stage::Parts => {
                    self.queue_parts();
                    if self.queue.is_empty() {
                        self.queue_seek();
                    }
                    if self.queue.is_empty() && self.describe() {
                        return;
                    }
                    if self.queue.is_empty() { self.after_parts() } else { Stage::Parts }
                }
                Stage::Rows => {
                    self.view_rows();
                    let reads = self.merges.plan(&self.models, &self.adapters, &self.views);
                    self.queue.extend(reads.into_iter().map(|read| (read, Probe::Merge)));
                    Stage::Merges
                }
                Stage::Merges => {
                    self.quantised.find(&self.models, &self.views);
                    Stage::Floats
                }
                Stage::Floats => self.queue_floats(),
                Stage::Scales => {
                    let is_open = |region: usize| self.views[region].as_ref().is_none_or(is_cast_up);
                    let reads = self.weights.plan(&self.models, is_open);
                    self.queue.extend(reads.into_iter().map(|read| (read, Probe::Weights)));
                    Stage::Weights
                }
                Stage::Weights | Stage::Done => Stage::Done,
            };
        }
    }

    fn queue_spans(&mut self) {
        for span in spans(&self.models.target) {
            if span.end - span.start <= longest_span(span.start) {
                self.queue.push_back((Read::new(Source::Target, span.clone()), Probe::Span(span.start)));
            }
        }
        let Models { target, bases, .. } = &self.models;
        let found = header_of_kind(target, bases).filter(|_| header(target).end >= LEAST_HEADER);
        if let Some((base, header)) = found {
            self.queue.push_back((Read::new(Source::Base(base), header), Probe::BaseHeader));
        }
    }

    /// Queues the starts of all regions that may match another one.
    fn queue_starts(&mut self) {
        let alone = self.models.bases.layouts().is_empty();
        let mut sizes: HashMap<u64, usize> = HashMap::new();
        self.models.target.regions.iter().for_each(|region| *sizes.entry(region.length).or_default() += 1);
        let matches = |region: &Region| !alone || sizes.get(&region.length).is_some_and(|&count| count > 1);
        for subject in self.models.targets().chain(self.models.base_regions()) {
            let (source, region) = self.models.region(subject);
            if region.length >= LEAST && matches(region) {
                let start = region.offset..region.offset + region.length.min(signed_bytes(region, WORDS));
                self.queue.push_back((Read::new(source, start), Probe::Start(subject)));
            }
        }
    }
}

/// The header of the first base file of the target's kind, if both have one that may be patched.
pub(super) fn header_of_kind(target: &Layout, bases: &BaseSet) -> Option<(usize, Range<u64>)> {
    let mut bases = bases.layouts().iter().enumerate();
    let (index, base) = bases.find(|(_, base)| base.kind == target.kind)?;
    let (base, target) = (header(base), header(target));
    (base.end > 0 && target.end > 0 && base.end <= MAX_STRETCH).then_some((index, base))
}

/// The bytes before the first region.
fn header(layout: &Layout) -> Range<u64> {
    let first = layout.regions.first().map_or(0, |region| region.offset);
    0..if layout.header_length > 0 { layout.header_length } else { first }
}

/// The bytes of the units that hold so many words of a signature.
fn signed_bytes(region: &Region, words: usize) -> u64 {
    let per_unit = weights_per_unit(region.dtype);
    (words as u64).div_ceil(per_unit) * unit(region.dtype).1
}

/// The spans of a file that no region covers: its header, its holes and its trailing bytes.
pub(super) fn spans(layout: &Layout) -> Vec<Range<u64>> {
    let header = 0..layout.header_length;
    let trailing = layout.data_end()..layout.file_length;
    let all = std::iter::once(header).chain(layout.holes()).chain(std::iter::once(trailing));
    all.filter(|span| !span.is_empty()).collect()
}

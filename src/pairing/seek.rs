//! Tensors of one model in floats of the other one that were guessed.
//!
//! Padding and headers between tensors may look like floats, above all like `F16`, so that a run of
//! floats begins or goes on where no tensor does. The tensor that comes next is then sought near
//! the end of the last one, at each byte, by its start.

use std::collections::HashMap;

use super::{Class, LEAST_WEIGHTS, Models, Signature, Subject, WORDS, weights};
use crate::io::{Read, Source};
use crate::layout::{Layout, Region};
use crate::plan::Place;
use crate::steps;

/// Bytes behind the end of a tensor in which the next one may begin.
const WINDOW: u64 = 4096;

/// Bytes before a run of floats in which its first tensor may begin, and bytes of the next run that
/// the last tensor may end in: runs of another phase begin with words of both.
const BACK: u64 = 16;

/// Words by which a place is rejected without a look at the others.
const FEW: usize = 64;

/// Places that may be tried in the smallest models, and bytes of the file for each further one.
const PLACES: u64 = 1 << 15;
const BYTES_PER_PLACE: u64 = 64;

/// Comparisons of signatures that the smallest models may take, those for each byte of all inputs,
/// and the most for any models.
const COMPARISONS: u64 = 1 << 21;
const COMPARISONS_PER_BYTE: u64 = 4;
const MOST_COMPARISONS: u64 = 1 << 26;

/// Tensors that may be found in a file, so that an archive can hold all of them and what is between
/// them as items.
const MOST: usize = 50_000;

/// A region of the other model that begins at this offset of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sought {
    pub(crate) offset: u64,
    pub(crate) part: Subject,
}

/// The search in all regions of a file that have no counterpart as they are.
#[derive(Debug)]
pub(crate) struct Seek {
    /// The file: the target or one of the base.
    file: Source,
    /// The regions of known layouts of the other model.
    parts: Vec<Subject>,
    /// The regions of the file, the last one first.
    open: Vec<usize>,
    /// The end of the last tensor, an offset.
    at: u64,
    /// Places and comparisons that are left.
    left: [u64; 2],
    /// The number of tensors that were found.
    count: usize,
    found: HashMap<usize, Vec<Sought>>,
}

impl Seek {
    /// Plans the search for these parts in the regions of a file, one of `files` that are searched,
    /// that `is_open` is true for. Parts of guessed layouts are left out.
    pub(crate) fn new(
        models: &Models,
        (file, files): (Source, u64),
        parts: impl Iterator<Item = Subject>,
        is_open: impl Fn(usize) -> bool,
    ) -> Self {
        let is_known = |part: &Subject| match part {
            Subject::Target(_) => !models.target.is_guessed,
            Subject::Base(place) => !models.bases.layouts()[place.base].is_guessed,
        };
        let is_long = |part: &Subject| models.measure(*part).1 >= LEAST_WEIGHTS;
        let parts = parts.filter(is_known).filter(is_long).collect();
        let mut seek = Self { file, parts, open: Vec::new(), at: 0, left: [0; 2], count: 0, found: HashMap::new() };
        let may_hold = |region: usize| {
            let (class, dtype) = (models.measure(seek.subject(region)).0, seek.regions(models)[region].dtype);
            class == Class::Weights && !dtype.is_scaled()
        };
        let regions = 0..seek.regions(models).len();
        seek.open = regions.rev().filter(|&region| may_hold(region) && is_open(region)).collect();
        let comparisons = models.bytes().saturating_mul(COMPARISONS_PER_BYTE).saturating_add(COMPARISONS);
        let places = PLACES / files + seek.layout(models).file_length / BYTES_PER_PLACE;
        seek.left = [places, comparisons.min(MOST_COMPARISONS) / files];
        seek
    }

    /// The file.
    pub(crate) fn file(&self) -> Source {
        self.file
    }

    fn layout<'a>(&self, models: &'a Models) -> &'a Layout {
        match self.file {
            Source::Base(base) => &models.bases.layouts()[base],
            _ => &models.target,
        }
    }

    fn regions<'a>(&self, models: &'a Models) -> &'a [Region] {
        &self.layout(models).regions
    }

    /// The region of the file with this index.
    fn subject(&self, region: usize) -> Subject {
        match self.file {
            Source::Base(base) => Subject::Base(Place { base, region }),
            _ => Subject::Target(region),
        }
    }

    /// Bytes of a word of a region of the file.
    fn width(&self, models: &Models, region: usize) -> u64 {
        self.regions(models)[region].dtype.words().0 as u64
    }

    /// The length in bytes that a part has in a region of the file.
    pub(crate) fn length(&self, models: &Models, region: usize, part: Subject) -> u64 {
        weights(models.region(part).1).saturating_mul(self.width(models, region))
    }

    /// The next read: the bytes in which the next tensor may begin.
    pub(crate) fn wants(&mut self, models: &Models) -> Option<Read> {
        if self.parts.is_empty() || self.left.contains(&0) || self.count == MOST {
            return None;
        }
        while let Some(&region) = self.open.last() {
            let start = self.start(models, region);
            let width = self.width(models, region);
            if start + LEAST_WEIGHTS * width <= self.regions(models)[region].range().end {
                let end = start + WINDOW + WORDS as u64 * width;
                return Some(Read::new(self.file, start..end.min(self.layout(models).file_length)));
            }
            self.open.pop();
        }
        None
    }

    /// The first offset at which a tensor may begin in a region.
    fn start(&self, models: &Models, region: usize) -> u64 {
        let regions = self.regions(models);
        let before = region.checked_sub(1).map_or(0, |before| regions[before].range().end);
        self.at.max(before).max(regions[region].offset.saturating_sub(BACK))
    }

    /// Takes the bytes of the read.
    pub(crate) fn feed(&mut self, models: &Models, bytes: &[u8]) {
        let Some(&region) = self.open.last() else { return };
        let start = self.start(models, region);
        match self.first(models, region, bytes) {
            Some((skipped, part)) => {
                let offset = start + skipped as u64;
                self.found.entry(region).or_default().push(Sought { offset, part });
                self.count += 1;
                self.at = offset + self.length(models, region, part);
            }
            None => drop(self.open.pop()),
        }
    }

    /// The first place in `bytes` at which a part begins, and the part.
    fn first(&mut self, models: &Models, region: usize, bytes: &[u8]) -> Option<(usize, Subject)> {
        let width = self.width(models, region) as usize;
        let start = self.start(models, region);
        let Layout { regions, file_length, .. } = self.layout(models);
        let limit = regions.get(region + 1).map_or(*file_length, |next| next.offset + BACK).min(*file_length);
        let last = bytes.len().checked_sub(FEW * width)?.min(WINDOW as usize);
        let mut found: Option<(f32, usize, Subject)> = None;
        for skipped in 0..=last {
            if found.is_some_and(|(_, first, _)| skipped > first + 2 * width) || self.left.contains(&0) {
                break;
            }
            self.left[0] -= 1;
            let room = limit.saturating_sub(start + skipped as u64);
            if let Some((share, part)) = self.best(models, region, &bytes[skipped..], room)
                && found.is_none_or(|(least, ..)| share < least)
            {
                found = Some((share, skipped, part));
            }
        }
        found.map(|(_, skipped, part)| (skipped, part))
    }

    /// The part that is most like the words of a region with which `bytes` begin.
    fn best(&mut self, models: &Models, region: usize, bytes: &[u8], room: u64) -> Option<(f32, Subject)> {
        let (own, width) = (self.subject(region), self.width(models, region) as usize);
        let dtype = self.regions(models)[region].dtype;
        let few = Signature::of(dtype, &bytes[..FEW * width]);
        let all = || Signature::of(dtype, &bytes[..(WORDS * width).min(bytes.len() / width * width)]);
        let mut whole: Option<Signature> = None;
        let mut best: Option<(f32, Subject)> = None;
        steps::add(FEW + self.parts.len());
        self.left[1] = self.left[1].saturating_sub(self.parts.len() as u64);
        for &part in &self.parts {
            let start = models.start(part);
            if !start.likeness(&few).is_related() || self.length(models, region, part) > room {
                continue;
            }
            let share = start.likeness(whole.get_or_insert_with(all)).related_share();
            let fits = models.may_pair(own, part);
            if let Some(share) = share.filter(|share| fits && best.is_none_or(|(least, _)| *share < least)) {
                best = Some((share, part));
            }
        }
        best
    }

    /// The tensors that were found, by region, in their order.
    pub(crate) fn found(&self) -> &HashMap<usize, Vec<Sought>> {
        &self.found
    }
}

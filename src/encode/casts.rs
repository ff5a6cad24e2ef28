//! F32 tensors of ONNX models that were BF16 before: half of every word is zeros.
//!
//! The coder of F32 does not look for bits that are always zero, and exporters cast a lot. Read as BF16 with twice as many
//! columns, every other one of zeros, such a tensor is coded as what it was. Only where archives name regions by their
//! offsets can both sides be read in another way than their files say.

use crate::io::{Read, Source};
use crate::layout::{Dtype, Kind, Layout, Region};
use crate::plan::{BaseSet, Place};

/// So many large tensors tell for all: a wrong guess costs bytes and nothing else.
const SAMPLES: usize = 8;

/// Bytes of a tensor that tells.
const LARGE: u64 = 64 * 1024;

/// Bytes of a sample.
const SAMPLE: u64 = 1024;

/// What is to be found out before layouts are final.
#[derive(Debug)]
pub(super) struct Casts {
    target: Layout,
    bases: BaseSet,
    /// Samples that are wanted yet.
    reads: Vec<Read>,
    found: bool,
}

impl Casts {
    pub(super) fn new(target: Layout, bases: BaseSet) -> Self {
        let mut reads = Vec::new();
        for region in target.regions.iter().filter(|region| region.length >= LARGE) {
            if reads.len() < 2 * SAMPLES
                && let Some(place) = candidate(&target, &bases, region)
            {
                reads.push(sample(Source::Target, region));
                reads.push(sample(Source::Base(place.base), bases.region(place)));
            }
        }
        let found = !reads.is_empty();
        Self { target, bases, reads, found }
    }

    pub(super) fn wants(&self) -> Option<Read> {
        self.reads.last().copied()
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.reads.pop();
        if bytes.chunks_exact(4).any(|word| word[..2] != [0; 2]) {
            self.reads.clear();
            self.found = false;
        }
    }

    /// The layouts as they are to be coded.
    pub(super) fn finish(mut self) -> (Layout, BaseSet) {
        if !self.found {
            return (self.target, self.bases);
        }
        for i in 0..self.target.regions.len() {
            if let Some(place) = candidate(&self.target, &self.bases, &self.target.regions[i]) {
                as_halves(&mut self.target.regions[i]);
                as_halves(self.bases.region_mut(place));
            }
        }
        (self.target, self.bases)
    }
}

/// The partner of a region where both may be casts.
fn candidate(target: &Layout, bases: &BaseSet, region: &Region) -> Option<Place> {
    let place = bases.partner(region).filter(|_| region.dtype == Dtype::F32 && target.kind == Kind::Places)?;
    (bases.layouts()[place.base].kind == Kind::Places).then_some(place)
}

/// Whole words from the middle of a region.
fn sample(source: Source, region: &Region) -> Read {
    let start = region.offset + region.length / 8 * 4;
    Read::new(source, start..(start + SAMPLE).min(region.offset + region.length))
}

/// Reads a tensor of F32 as one of BF16.
fn as_halves(region: &mut Region) {
    region.dtype = Dtype::BF16;
    match region.shape.last_mut() {
        Some(columns) => *columns *= 2,
        None => region.shape.push(2),
    }
}

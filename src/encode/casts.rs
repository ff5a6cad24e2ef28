//! Recognises F32 tensors of ONNX models that were cast from BF16: half of every word is zeros.
//!
//! Exporters often cast, and the coder of F32 does not look for bits that are always zero. Such a
//! tensor is therefore read as BF16 with twice as many columns, of which every other one is zeros,
//! and codes as small as the tensor that it was. This takes an archive that names regions by their
//! offsets ([`Kind::Places`]): only then may a tensor be read with another dtype than its file
//! states.

use crate::io::{Read, Source};
use crate::layout::{Dtype, Kind, Layout, Region};
use crate::plan::{BaseSet, Place};

/// Number of large tensors to sample. They speak for all others: a wrong guess only costs bytes.
const SAMPLES: usize = 8;

/// Minimum size in bytes of a tensor to sample.
const LARGE: u64 = 64 * 1024;

/// Bytes of a sample.
const SAMPLE: u64 = 1024;

/// The search for casts, which may change the layouts.
#[derive(Debug)]
pub(super) struct Casts {
    target: Layout,
    bases: BaseSet,
    /// The samples that are still to be read.
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

    /// Returns the layouts to code by. If every sample was a cast, all pairs of tensors that can be
    /// casts are BF16 in them.
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

/// The partner of a region, if both can be casts.
fn candidate(target: &Layout, bases: &BaseSet, region: &Region) -> Option<Place> {
    let place = bases.partner(region).filter(|_| region.dtype == Dtype::F32 && target.kind == Kind::Places)?;
    (bases.layouts()[place.base].kind == Kind::Places).then_some(place)
}

/// A read of whole words from the middle of a region.
fn sample(source: Source, region: &Region) -> Read {
    let start = region.offset + region.length / 8 * 4;
    Read::new(source, start..(start + SAMPLE).min(region.offset + region.length))
}

/// Turns a region of F32 into one of BF16 with twice as many columns.
fn as_halves(region: &mut Region) {
    region.dtype = Dtype::BF16;
    match region.shape.last_mut() {
        Some(columns) => *columns *= 2,
        None => region.shape.push(2),
    }
}

//! F32 tensors of ONNX models that were BF16 before: half of every word is zeros.
//!
//! The coder of F32 does not look for bits that are always zero, and exporters cast a lot. Read as BF16 with twice as many
//! columns, every other one of zeros, such a tensor is coded as what it was. Only where archives name regions by their
//! offsets can both sides be read in another way than their files say.

use std::collections::VecDeque;

use crate::io::{Read, Source};
use crate::layout::{Dtype, Kind, Layout, Region};
use crate::order;
use crate::plan::{BaseSet, Place};

/// The largest tensors tell for all: a wrong guess costs bytes and nothing else.
const SAMPLES: usize = 8;

/// Bytes of a sample.
const SAMPLE: u64 = 1024;

/// What is to be found out before layouts are final.
#[derive(Debug)]
pub(super) struct Casts {
    target: Layout,
    bases: BaseSet,
    /// Regions of the target and their partners that may be casts.
    pairs: Vec<(usize, Place)>,
    queue: VecDeque<Read>,
}

impl Casts {
    pub(super) fn new(target: Layout, bases: BaseSet) -> Self {
        let pair = |(i, region): (usize, &Region)| {
            let place = bases.partner(region)?;
            let places = [target.kind, bases.layouts()[place.base].kind] == [Kind::Places; 2];
            (places && region.dtype == Dtype::F32).then_some((i, place))
        };
        let pairs: Vec<(usize, Place)> = target.regions.iter().enumerate().filter_map(pair).collect();
        let largest = order::sorted(pairs.clone(), |&(i, _)| (u64::MAX - target.regions[i].length, 0));
        let reads = |&(i, place): &(usize, Place)| {
            [sample(Source::Target, &target.regions[i]), sample(Source::Base(place.base), bases.region(place))]
        };
        let queue = largest.iter().take(SAMPLES).flat_map(reads).collect();
        Self { target, bases, pairs, queue }
    }

    pub(super) fn wants(&self) -> Option<Read> {
        self.queue.front().copied()
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.queue.pop_front();
        if bytes.chunks_exact(4).any(|word| word[..2] != [0; 2]) {
            self.queue.clear();
            self.pairs.clear();
        }
    }

    /// The layouts as they are to be coded.
    pub(super) fn finish(mut self) -> (Layout, BaseSet) {
        if self.pairs.is_empty() {
            return (self.target, self.bases);
        }
        let mut bases = self.bases.layouts().to_vec();
        for (i, place) in self.pairs {
            as_halves(&mut self.target.regions[i]);
            as_halves(&mut bases[place.base].regions[place.region]);
        }
        (self.target, BaseSet::new(bases))
    }
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

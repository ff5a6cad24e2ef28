//! Sets: packed numbers that are stored as one piece with their companions, without which they tell
//! no weights. So the floats of the same model are their base, or a set of another model.
//!
//! The tensors of a set may be anywhere in their file. The sets of a file are therefore stored as
//! packs of a file of their own, whose tensors follow one another, and the file has excerpts of
//! that.

mod bases;
mod partners;
mod storing;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bitx::PackedSet;
use bitx::layout::{Dtype, Layout, Region};
use futures::{StreamExt, TryStreamExt, stream};

use super::Ingest;
use super::file::Surveyed;
use super::local::LocalFile;
use super::signature::{self, Signature};
use super::{packs, sketches};
use crate::codec::Member;
use crate::digest::Digest;
use crate::error::Result;
use crate::manifest::Item;

/// The maximum length of a set in bytes.
const LONGEST: u64 = 32 << 20;

/// The common beginning of the names in a frame, without and with a dot behind it.
const STEM: &str = "w";
const STEM_BEFORE_NAMES: &str = "w.";

/// A set of a file.
#[derive(Debug, Clone)]
pub(super) struct Found {
    set: Arc<PackedSet>,
    /// The parts that it consists of, that of the numbers first.
    parts: Vec<usize>,
    /// The length in bytes of what the names of its tensors have in common.
    stem: usize,
}

/// The sets whose tensors are one part each, and whose floats are large enough for a sketch.
pub(super) fn find(items: &[Item], surveyed: &[Surveyed]) -> Vec<Found> {
    let mut parts: HashMap<usize, usize> = HashMap::new();
    for (number, part) in surveyed.iter().enumerate().filter(|(_, part)| part.is_tensor) {
        let item = &items[part.part.item];
        let is_whole = part.length() > 0 && item.dtype.tensor_bytes(&item.shape) == Some(part.length());
        if is_whole {
            parts.insert(part.part.item, number);
        }
    }
    let layout = Layout { regions: items.iter().map(region).collect(), ..Layout::default() };
    let found = PackedSet::find(&layout).into_iter().filter_map(|set| {
        let of_regions = set.regions().iter().map(|region| parts.get(region).copied());
        let parts: Vec<usize> = of_regions.collect::<Option<_>>()?;
        let stem = set.stem();
        let found = Found { set: Arc::new(set), parts, stem };
        let fits = found.members(items, surveyed).iter().all(Member::fits) && found.length(surveyed) <= LONGEST;
        let weights = found.set.weights(found.numbers(surveyed).length());
        let is_large = weights.saturating_mul(2) >= sketches::LEAST;
        (fits && is_large).then_some(found)
    });
    found.collect()
}

/// An item as a region of a file that has no other places.
fn region(item: &Item) -> Region {
    let (name, shape) = (item.name.clone().unwrap_or_default(), item.shape.clone());
    let length = item.dtype.tensor_bytes(&shape).unwrap_or(0);
    Region { name, dtype: item.dtype, shape, offset: 0, length }
}

/// The sets of a local file: the ranges and the digest of each.
pub(super) fn copies(
    file: &LocalFile,
    items: &[Item],
    surveyed: &[Surveyed],
) -> Result<Vec<(Vec<Range<u64>>, Digest)>> {
    let copies = find(items, surveyed).into_iter().map(|found| {
        let ranges = found.ranges(surveyed);
        packs::gather(file, &ranges).map(|bytes| (ranges, Digest::of(&bytes)))
    });
    copies.collect()
}

impl Found {
    fn parts<'s>(&self, surveyed: &'s [Surveyed]) -> impl Iterator<Item = &'s Surveyed> {
        self.parts.iter().map(|part| &surveyed[*part])
    }

    /// The part of the packed numbers.
    fn numbers<'s>(&self, surveyed: &'s [Surveyed]) -> &'s Surveyed {
        &surveyed[self.parts[0]]
    }

    fn ranges(&self, surveyed: &[Surveyed]) -> Vec<Range<u64>> {
        self.parts(surveyed).map(|part| part.part.range.clone()).collect()
    }

    /// The length in bytes of all tensors.
    fn length(&self, surveyed: &[Surveyed]) -> u64 {
        self.parts(surveyed).map(Surveyed::length).fold(0, u64::saturating_add)
    }

    /// The tensors, by the names that they have in frames.
    fn members(&self, items: &[Item], surveyed: &[Surveyed]) -> Vec<Member> {
        let member = |part: &Surveyed| member(&items[part.part.item], self.stem);
        self.parts(surveyed).map(member).collect()
    }
}

/// A tensor by the name that it has in frames: what it has in common with others is left out.
fn member(item: &Item, stem: usize) -> Member {
    let name = item.name.as_deref().unwrap_or_default();
    let (stem, end) = name.split_at_checked(stem).unwrap_or(("", name));
    let stem = if stem.ends_with('.') { STEM_BEFORE_NAMES } else { STEM };
    Member { name: [stem, end].concat(), dtype: item.dtype, shape: item.shape.clone() }
}

/// The weights that the numbers of a set stand for.
struct Weights<'a> {
    set: PackedSet,
    /// The dtypes and the bytes of the tensors.
    parts: Vec<(Dtype, &'a [u8])>,
}

impl<'a> Weights<'a> {
    /// The weights of a set with these `bytes`, in tensors of these dtypes and lengths.
    fn of(set: &PackedSet, lengths: &[(Dtype, u64)], bytes: &'a [u8]) -> Option<Self> {
        let (mut rest, mut parts) = (bytes, Vec::with_capacity(lengths.len()));
        for &(dtype, length) in lengths {
            let (own, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            parts.push((dtype, own));
            rest = behind;
        }
        Some(Self { set: set.resolved(&parts)?, parts })
    }

    /// The number of weights.
    fn count(&self) -> u64 {
        self.parts.first().map_or(0, |(_, numbers)| self.set.weights(numbers.len() as u64))
    }

    /// The weights at some places of the matrix that was quantised.
    fn at(&self, places: &[u64]) -> Option<Vec<f32>> {
        self.set.weights_at(&self.parts, places)
    }
}

impl Ingest<'_> {
    /// Adds to the numbers of each set how many weights they stand for, and the signature of these.
    pub(super) async fn sign_sets(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        surveyed: &mut [Surveyed],
    ) -> Result<()> {
        let found = find(items, surveyed);
        let sign = |weights: &Weights<'_>| {
            let places: Vec<u64> = (0..signature::WORDS as u64).collect();
            let bytes = weights.at(&places).map(|first| first.iter().flat_map(|weight| weight.to_le_bytes()).collect());
            (weights.count(), bytes.and_then(|bytes: Vec<u8>| Signature::of_tensor(Dtype::F32, &bytes)))
        };
        let signed = found.iter().map(|found| self.with_weights(file, found, surveyed, sign));
        let signed: Vec<_> = stream::iter(signed).buffered(self.store.width()).try_collect().await?;
        for (found, signed) in found.iter().zip(signed) {
            let Some((count, signature)) = signed else { continue };
            let numbers = &mut surveyed[found.parts[0]];
            numbers.signatures.extend(signature);
            numbers.weights = Some(count);
        }
        Ok(())
    }

    /// Calls `work` with the weights of a set. `None` if its bytes are no set.
    async fn with_weights<R: Send + 'static>(
        &self,
        file: &Arc<LocalFile>,
        found: &Found,
        surveyed: &[Surveyed],
        work: impl FnOnce(&Weights<'_>) -> R + Send + 'static,
    ) -> Result<Option<R>> {
        let (file, ranges, set) = (file.clone(), found.ranges(surveyed), found.set.clone());
        let lengths: Vec<_> = found.parts(surveyed).map(|part| (part.part.dtype, part.length())).collect();
        let worked = self.store.compute(move || {
            let bytes = packs::gather(&file, &ranges)?;
            Ok(Weights::of(&set, &lengths, &bytes).map(|weights| work(&weights)))
        });
        worked.await
    }
}

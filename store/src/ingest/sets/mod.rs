//! Sets: packed numbers that are stored as one piece with their companions, without which they tell
//! no weights. So the floats of the same model are their base, or a set of another model.
//!
//! The tensors of a set may be anywhere in their file. The sets of a file are therefore stored as
//! packs of a file of their own, whose tensors follow one another, and the file has excerpts of
//! that.

mod bases;
mod cut;
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
pub(super) use cut::Place;
use cut::{Part, Tensor};

/// The maximum length of a set in bytes.
const LONGEST: u64 = 32 << 20;
/// The number of bytes at the beginning of numbers that tell how many bits each has.
const FIRST: u64 = 4 << 10;

/// The common beginning of the names in a frame, without and with a dot behind it.
const STEM: &str = "w";
const STEM_BEFORE_NAMES: &str = "w.";

/// A set of a file, or a part of one.
#[derive(Debug, Clone)]
pub(super) struct Found {
    set: Arc<PackedSet>,
    /// The tensors that it consists of, the numbers first.
    tensors: Vec<Tensor>,
    place: Place,
    /// The number of the first part of the file that has numbers of it.
    numbers: usize,
    /// The length in bytes of what the names of its tensors have in common.
    stem: usize,
}

/// The sets whose floats are large enough for a sketch, each as its parts.
pub(super) fn find(file: &LocalFile, items: &[Item], surveyed: &[Surveyed]) -> Result<Vec<Vec<Found>>> {
    let tensors = tensors(items, surveyed);
    let mut all = Vec::new();
    for set in of_regions(items.iter().map(|item| region(item, &item.shape))) {
        let of_set = set.regions().iter().map(|region| tensors.get(region).cloned());
        let Some(of_set) = of_set.collect::<Option<Vec<Tensor>>>() else { continue };
        let set = with_bits(set, file, &of_set[0])?;
        let weights = set.weights(of_set[0].length());
        let parts = cut::cut(&set, &of_set, weights).unwrap_or_else(|| {
            let place = Place { of: weights, range: 0..weights, turned: set.turned() };
            vec![Part { tensors: of_set, place }]
        });
        all.extend(parts.into_iter().map(|part| Found::of(part, items, surveyed)).collect::<Option<Vec<_>>>());
    }
    Ok(all)
}

/// A set with as many bits in each number as the first numbers tell, if words leave that open.
fn with_bits(set: PackedSet, file: &LocalFile, numbers: &Tensor) -> Result<PackedSet> {
    if numbers.dtype != Dtype::U32 {
        return Ok(set);
    }
    let (start, length) = (numbers.range.start, numbers.length());
    let first = file.read(start..start + length.min(FIRST))?;
    let set = set.with_bits(&first, length);
    file.give_back(first);
    Ok(set)
}

/// A tensor like an item, as a region of a file that has no other places.
fn region(item: &Item, shape: &[u64]) -> Region {
    let (name, dtype) = (item.name.clone().unwrap_or_default(), item.dtype);
    Region { name, dtype, shape: shape.to_vec(), offset: 0, length: dtype.tensor_bytes(shape).unwrap_or(0) }
}

/// The sets of a file that has these regions.
fn of_regions(regions: impl Iterator<Item = Region>) -> Vec<PackedSet> {
    PackedSet::find(&Layout { regions: regions.collect(), ..Layout::default() })
}

/// The tensors that consist of parts, by the numbers of their items.
fn tensors(items: &[Item], surveyed: &[Surveyed]) -> HashMap<usize, Tensor> {
    let mut tensors: HashMap<usize, Tensor> = HashMap::new();
    for part in surveyed.iter().filter(|part| part.is_tensor).map(|part| &part.part) {
        let Item { dtype, shape, .. } = &items[part.item];
        let new = || Tensor {
            item: part.item,
            dtype: *dtype,
            shape: shape.clone(),
            range: part.range.start..part.range.start,
            is_repeated: false,
        };
        let tensor = tensors.entry(part.item).or_insert_with(new);
        if tensor.range.end == part.range.start {
            tensor.range.end = part.range.end;
        }
    }
    tensors
        .retain(|_, tensor| tensor.length() > 0 && tensor.dtype.tensor_bytes(&tensor.shape) == Some(tensor.length()));
    tensors
}

/// The sets of a local file: the ranges and the digest of each.
pub(super) fn copies(
    file: &LocalFile,
    items: &[Item],
    surveyed: &[Surveyed],
) -> Result<Vec<(Vec<Range<u64>>, Digest)>> {
    let copies = find(file, items, surveyed)?.into_iter().flatten().map(|found| {
        let ranges = found.ranges();
        packs::gather(file, &ranges).map(|bytes| (ranges, Digest::of(&bytes)))
    });
    copies.collect()
}

impl Found {
    /// The set that a part is. `None` if it is none by itself, or too small or too long.
    fn of(part: Part, items: &[Item], surveyed: &[Surveyed]) -> Option<Self> {
        let Part { mut tensors, place } = part;
        let regions = tensors.iter().map(|tensor| region(&items[tensor.item], &tensor.shape));
        let set = of_regions(regions).into_iter().next()?;
        if set.regions().len() != tensors.len() {
            return None;
        }
        tensors = set.regions().iter().map(|region| tensors[*region].clone()).collect();
        let start = tensors[0].range.start;
        let numbers = surveyed.partition_point(|part| part.part.range.end <= start);
        let found = Self { stem: set.stem(), set: Arc::new(set), tensors, place, numbers };
        let fits = found.members(items).iter().all(Member::fits) && found.length() <= LONGEST;
        let is_large = (found.place.range.end - found.place.range.start).saturating_mul(2) >= sketches::LEAST;
        (fits && is_large).then_some(found)
    }

    /// The part of the file in which its numbers begin.
    fn numbers<'s>(&self, surveyed: &'s [Surveyed]) -> &'s Surveyed {
        &surveyed[self.numbers]
    }

    fn ranges(&self) -> Vec<Range<u64>> {
        self.tensors.iter().map(|tensor| tensor.range.clone()).collect()
    }

    /// The length in bytes of all tensors.
    fn length(&self) -> u64 {
        self.tensors.iter().map(Tensor::length).fold(0, u64::saturating_add)
    }

    /// The tensors, by the names that they have in frames.
    fn members(&self, items: &[Item]) -> Vec<Member> {
        self.tensors.iter().map(|tensor| member(&items[tensor.item], &tensor.shape, self.stem)).collect()
    }
}

/// A tensor by the name that it has in frames: what it has in common with others is left out.
fn member(item: &Item, shape: &[u64], stem: usize) -> Member {
    let name = item.name.as_deref().unwrap_or_default();
    let (stem, end) = name.split_at_checked(stem).unwrap_or(("", name));
    let stem = if stem.ends_with('.') { STEM_BEFORE_NAMES } else { STEM };
    Member { name: [stem, end].concat(), dtype: item.dtype, shape: shape.to_vec() }
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

    /// The weights at some places of the matrix that was quantised.
    fn at(&self, places: &[u64]) -> Option<Vec<f32>> {
        self.set.weights_at(&self.parts, places)
    }
}

impl Ingest<'_> {
    /// Adds to the numbers of each set how many weights its matrix has, and the signature of the
    /// first ones.
    pub(super) async fn sign_sets(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        surveyed: &mut [Surveyed],
    ) -> Result<()> {
        let found = find(file, items, surveyed)?;
        // The first parts of matrices have the first weights.
        let found: Vec<Found> = found.into_iter().flatten().filter(|found| found.place.range.start == 0).collect();
        let sign = |weights: &Weights<'_>| {
            let places: Vec<u64> = (0..signature::WORDS as u64).collect();
            let bytes = weights.at(&places).map(|first| first.iter().flat_map(|weight| weight.to_le_bytes()).collect());
            bytes.and_then(|bytes: Vec<u8>| Signature::of_tensor(Dtype::F32, &bytes))
        };
        let signed = found.iter().map(|found| self.with_weights(file, found, sign));
        let signed: Vec<_> = stream::iter(signed).buffered(self.store.width()).try_collect().await?;
        for (found, signed) in found.iter().zip(signed) {
            let Some(signature) = signed else { continue };
            let numbers = &mut surveyed[found.numbers];
            numbers.signatures.extend(signature);
            numbers.weights = Some(found.place.of);
        }
        Ok(())
    }

    /// Calls `work` with the weights of a set. `None` if its bytes are no set.
    async fn with_weights<R: Send + 'static>(
        &self,
        file: &Arc<LocalFile>,
        found: &Found,
        work: impl FnOnce(&Weights<'_>) -> R + Send + 'static,
    ) -> Result<Option<R>> {
        let (file, ranges, set) = (file.clone(), found.ranges(), found.set.clone());
        let lengths: Vec<_> = found.tensors.iter().map(|tensor| (tensor.dtype, tensor.length())).collect();
        let worked = self.store.compute(move || {
            let bytes = packs::gather(&file, &ranges)?;
            Ok(Weights::of(&set, &lengths, &bytes).map(|weights| work(&weights)))
        });
        worked.await
    }
}

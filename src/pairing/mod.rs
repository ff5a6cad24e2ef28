//! The pairing of a target's regions with views of the base set, by name and by content.
//!
//! A region is first paired as a whole ([`whole`]): with the base region of its name, unless its
//! content is another one's; then with any region of as many words, whatever its name, shape and
//! dtype. Regions that stay alone may consist of several base regions, or be parts of one
//! ([`chains`]), or matrices of the base that are transposed ([`transposed`]). Matrices whose rows
//! were added, removed or moved are aligned ([`rows`]), with the rows of one matrix of the base or
//! of several. Others may be side by side in one matrix ([`sides`]), or have lost or gained columns
//! ([`crops`]). In floats that were guessed, tensors are sought near each other ([`seek`]), and
//! words that are elsewhere in other guessed floats ([`moved`]).

mod chains;
mod corner;
mod crops;
mod found;
mod joined;
mod moved;
mod rows;
mod seek;
mod sides;
mod signature;
mod transposed;
mod whole;

pub(crate) use chains::{Chain, Chains, Link};
pub(crate) use crops::Crops;
pub(crate) use joined::Joined;
pub(crate) use moved::Moved;
pub(crate) use rows::{RowIndex, RowRun, align, rectangles};
pub(crate) use seek::{Seek, Sought};
pub(crate) use sides::{Rows, Sides};
use signature::of_columns;
pub(crate) use signature::{Likeness, Signature, WORDS, of_row};
pub(crate) use transposed::{Corners, Stack, strips};
pub(crate) use whole::whole_pairs;

use std::collections::HashMap;
use std::ops::Range;

use crate::archive::v2::units;
use crate::cast::can_cast;
use crate::chunk::unit;
use crate::io::{Read, Source};
use crate::layout::{Dtype, Layout, Region};
use crate::plan::{BaseSet, Place};
use crate::quant::weights_per_unit;
use crate::transposed::can_transpose;
use crate::view::can_view;

/// Minimum number of weights of a region that is a part of another one, or has such parts.
const LEAST_WEIGHTS: u64 = 64;

/// Maximum number of bytes of a name that the views of many regions may contain.
const NAME: usize = 512;

/// The share of a pair's rows or words, as one in so many, that must be elsewhere for another view.
pub(crate) const MOVED: u64 = 16;

/// A region of any input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// Index of the region of the target.
    Target(usize),
    /// A region of the base set.
    Base(Place),
}

/// The target, its base set, and the signatures of the starts of their regions.
#[derive(Debug)]
pub(crate) struct Models {
    pub(crate) target: Layout,
    pub(crate) bases: BaseSet,
    pub(crate) starts: HashMap<Subject, Signature>,
}

/// Dtypes whose words may be paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Floats that can be cast into each other, and quantised weights.
    Weights,
    /// Words of this dtype only.
    Only(Dtype),
}

impl Class {
    pub(crate) fn of(dtype: Dtype) -> Self {
        if dtype.is_scaled() || can_cast(dtype, Dtype::F32) { Self::Weights } else { Self::Only(dtype) }
    }
}

impl Models {
    /// The region of a subject, and the file that it is in.
    pub(crate) fn region(&self, subject: Subject) -> (Source, &Region) {
        match subject {
            Subject::Target(region) => (Source::Target, &self.target.regions[region]),
            Subject::Base(place) => (Source::Base(place.base), self.bases.region(place)),
        }
    }

    /// All regions of the target.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Subject> {
        (0..self.target.regions.len()).map(Subject::Target)
    }

    /// All regions of the base set that are found by content: those of long names are found by name
    /// only.
    pub(crate) fn base_regions(&self) -> impl Iterator<Item = Subject> {
        let files = self.bases.layouts().iter().enumerate();
        let all = files.flat_map(|(base, layout)| {
            (0..layout.regions.len()).map(move |region| Subject::Base(Place { base, region }))
        });
        all.filter(|base| self.region(*base).1.name.len() <= NAME)
    }

    /// The region behind a subject in its file.
    fn next(&self, subject: Subject) -> Option<Subject> {
        match subject {
            Subject::Target(region) => {
                Some(region + 1).filter(|&next| next < self.target.regions.len()).map(Subject::Target)
            }
            Subject::Base(Place { base, region }) => {
                let next = Place { base, region: region + 1 };
                (next.region < self.bases.layouts()[base].regions.len()).then_some(Subject::Base(next))
            }
        }
    }

    /// The class of a subject, and its number of weights or other words.
    pub(crate) fn measure(&self, subject: Subject) -> (Class, u64) {
        let region = self.region(subject).1;
        (Class::of(region.dtype), weights(region))
    }

    /// Returns true if a view of one subject, a region of the target, may take words of the other
    /// one, a region of the base; the order of the arguments does not matter.
    pub(crate) fn may_pair(&self, one: Subject, other: Subject) -> bool {
        let (from, to) = self.dtypes(one, other);
        can_view(from, to)
    }

    /// Returns true if a view may take words of the other one in another order.
    fn may_transpose(&self, one: Subject, other: Subject) -> bool {
        let (from, to) = self.dtypes(one, other);
        can_transpose(from, to)
    }

    /// The dtype of the region of the base, and that of the region of the target.
    fn dtypes(&self, one: Subject, other: Subject) -> (Dtype, Dtype) {
        let (target, base) = if matches!(one, Subject::Target(_)) { (one, other) } else { (other, one) };
        (self.region(base).1.dtype, self.region(target).1.dtype)
    }

    /// The bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let files = self.bases.layouts().iter().map(|base| base.file_length);
        files.fold(self.target.file_length, u64::saturating_add)
    }

    /// The read of words of a subject, which its region has.
    fn words(&self, subject: Subject, words: Range<u64>) -> Read {
        let (source, region) = self.region(subject);
        let width = unit(region.dtype).1;
        Read::new(source, region.offset + words.start * width..region.offset + words.end * width)
    }

    fn start(&self, subject: Subject) -> Signature {
        self.starts.get(&subject).copied().unwrap_or_default()
    }
}

/// The number of weights of a region, or of other words.
pub(crate) fn weights(region: &Region) -> u64 {
    units(region) * weights_per_unit(region.dtype)
}

/// The bytes of `count` weights of `region`; `None` if they are no whole number of units, or too
/// many for any file.
pub(crate) fn bytes_of(region: &Region, count: u64) -> Option<u64> {
    let per_unit = weights_per_unit(region.dtype);
    let units = count.is_multiple_of(per_unit).then(|| count / per_unit)?;
    units.checked_mul(unit(region.dtype).1)
}

/// The columns of a region of two extents or more, of which the trailing ones are joined; `None` if
/// it has no words, whose extents may be any.
pub(crate) fn columns(region: &Region) -> Option<u64> {
    let columns = region.shape.get(1..)?.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent))?;
    let weights = weights(region);
    (columns > 1 && weights > 0 && weights.is_multiple_of(columns)).then_some(columns)
}

/// Returns true if the region's start is like that of its pair.
pub(crate) fn is_like(models: &Models, target: Subject, pair: Option<Place>) -> bool {
    let start = models.start(target);
    pair.is_some_and(|place| !start.likeness(&models.start(Subject::Base(place))).is_unrelated())
}

//! The counterparts of short tensors in the packs of a stored file.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bitx::layout::Dtype;

use super::super::file::Surveyed;
use super::super::relatives::{self, Chosen, FLOATS};
use super::super::sketches::Sheet;
use crate::keys::ObjectId;
use crate::manifest::{FileManifest, Item, PieceRef, Place};

/// The counterpart of a short part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partner {
    /// The number of the pack that it is in.
    pub(super) pack: usize,
    /// Its offset in that pack, in bytes.
    pub(super) start: u64,
    pub(super) dtype: Dtype,
    /// The number of bytes at the beginning of the part that have counterparts.
    pub(super) covered: u64,
}

/// The items in the packs of a stored file, by what they have in common with those of another.
#[derive(Debug)]
pub(super) struct Partners<'a> {
    packs: &'a [PieceRef],
    names: HashMap<&'a str, Place<'a>>,
    types: HashMap<(Dtype, &'a [u64]), Vec<Place<'a>>>,
    /// For each item of the new file, the number of items of its dtype and shape before it.
    orders: Arc<Vec<usize>>,
}

impl<'a> Partners<'a> {
    /// The items of that near file in which most of the large parts have found their `bases`. If
    /// none has, those of the one with counterparts of most bytes of the short `parts`.
    pub(super) fn nearest(
        near: &'a [Arc<Sheet>],
        items: &[Item],
        (surveyed, bases): (&[Surveyed], &[Vec<Chosen>]),
        parts: &[&Surveyed],
    ) -> Option<Self> {
        let orders = Arc::new(relatives::orders(items));
        let candidates = near.iter().filter(|sheet| !sheet.manifest().packs.is_empty()).map(|sheet| {
            let whole: HashSet<ObjectId> = whole(sheet.manifest()).collect();
            let is_there = |chosen: &Vec<Chosen>| chosen.iter().any(|chosen| whole.contains(&chosen.base));
            let votes: u64 =
                surveyed.iter().zip(bases).filter(|(_, base)| is_there(base)).map(|(part, _)| part.length()).sum();
            let partners = Self::new(sheet.manifest(), orders.clone());
            let covered: u64 =
                parts.iter().filter_map(|part| partners.of(items, part)).map(|found| found.covered).sum();
            ((votes, covered), partners)
        });
        let useful = candidates.filter(|((_, covered), _)| *covered > 0);
        // The first file is the one with the most signatures in common.
        useful.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, partners)| partners)
    }

    fn new(manifest: &'a FileManifest, orders: Arc<Vec<usize>>) -> Self {
        let (mut names, mut types) = (HashMap::new(), HashMap::<_, Vec<Place<'a>>>::new());
        for place in manifest.packed() {
            types.entry((place.item.dtype, &place.item.shape[..])).or_default().push(place.clone());
            names.extend(place.item.name.as_deref().map(|name| (name, place)));
        }
        Self { packs: &manifest.packs, names, types, orders }
    }

    /// The packs of the file.
    pub(super) fn packs(&self) -> &'a [PieceRef] {
        self.packs
    }

    /// The counterpart of a part: the item of its name, with the same shape or another number of
    /// rows. If no item has its name, the one of its dtype and shape with as many others before it,
    /// since models are renamed as a whole. `None` if it is stored as a delta.
    pub(super) fn of(&self, items: &[Item], part: &Surveyed) -> Option<Partner> {
        let (item, length) = (&items[part.part.item], part.length());
        let named = item.name.as_deref().and_then(|name| self.names.get(name));
        let same = || self.types.get(&(item.dtype, &item.shape[..]))?.get(self.orders[part.part.item]);
        let place = named.or_else(same).filter(|place| self.packs[place.pack].base.is_none())?;
        let other = place.item;
        let is_cast = item.shape == other.shape && FLOATS.contains(&item.dtype) && FLOATS.contains(&other.dtype);
        let covered = match is_cast {
            true => length,
            false if item.dtype == other.dtype && rows_fit(&item.shape, &other.shape) => length.min(other.length()),
            false => return None,
        };
        Some(Partner { pack: place.pack, start: place.range.start, dtype: other.dtype, covered })
    }
}

/// Returns `true` if tensors of these shapes have equal rows.
fn rows_fit(own: &[u64], other: &[u64]) -> bool {
    own == other || own.len() == other.len() && !own.is_empty() && own[1..] == other[1..]
}

/// The pieces that are stored whole.
fn whole(manifest: &FileManifest) -> impl Iterator<Item = ObjectId> {
    manifest.pieces().filter(|piece| piece.base.is_none()).map(|piece| piece.id)
}

//! The counterparts of sets in a stored file: its sets of the same format.

use std::collections::HashMap;
use std::sync::Arc;

use bitx::layout::Dtype;

use super::super::sketches::Sheet;
use super::bases::SetBase;
use super::{Found, member};
use crate::codec::Member;
use crate::keys::ObjectId;
use crate::manifest::{FileManifest, Item, PieceRef};

/// A stored set or a part of one: its piece, and the items that it has bytes of, that of the
/// numbers first.
type Stored<'a> = (ObjectId, Vec<Placed<'a>>);

/// An item, with the beginning and the end of its bytes in a piece.
type Placed<'a> = (u64, u64, &'a Item);

/// The sets of a stored file that are stored whole.
#[derive(Debug)]
pub(super) struct Partners<'a> {
    sets: Vec<Stored<'a>>,
    /// The parts of sets by the name of their numbers.
    names: HashMap<&'a str, Vec<usize>>,
    /// The same by the dtype and the shape of their numbers.
    types: HashMap<(Dtype, &'a [u64]), Vec<usize>>,
}

/// For each part of a set, the number of its part, and the number of parts before it of sets whose
/// numbers have the same dtype and shape.
fn orders(all: &[Vec<Found>], items: &[Item]) -> Vec<[usize; 2]> {
    let mut counts: HashMap<(Dtype, &[u64]), usize> = HashMap::new();
    let mut order = |(number, found): (usize, &Found)| {
        let item = &items[found.tensors[0].item];
        let count = counts.entry((item.dtype, &item.shape[..])).or_default();
        *count += 1;
        [number, *count - 1]
    };
    all.iter().flat_map(|parts| parts.iter().enumerate()).map(&mut order).collect()
}

/// The counterparts of the parts of sets, all in that near file which has those of the most bytes.
pub(super) fn nearest(near: &[Arc<Sheet>], items: &[Item], all: &[Vec<Found>]) -> Vec<Option<SetBase>> {
    let (orders, parts) = (orders(all, items), || all.iter().flatten());
    let candidates = near.iter().map(|sheet| {
        let partners = Partners::of(sheet.manifest());
        let found = parts().zip(&orders).map(|(found, orders)| partners.counterpart(items, found, *orders));
        let found: Vec<Option<SetBase>> = found.collect();
        let served = parts().zip(&found).filter(|(_, base)| base.is_some());
        (served.map(|(found, _)| found.length()).sum::<u64>(), found)
    });
    // The first file is the one with the most signatures in common.
    let best = candidates.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map_or_else(|| vec![None; orders.len()], |(_, found)| found)
}

impl<'a> Partners<'a> {
    fn of(file: &'a FileManifest) -> Self {
        let mut known: HashMap<ObjectId, usize> = HashMap::new();
        let mut pieces: Vec<(PieceRef, Vec<Placed<'_>>)> = Vec::new();
        for item in &file.items {
            for (piece, range) in item.runs().filter(|(piece, _)| piece.base.is_none()) {
                let number = *known.entry(piece.id).or_insert(pieces.len());
                if number == pieces.len() {
                    pieces.push((*piece, Vec::new()));
                }
                pieces[number].1.push((range.start, range.end, item));
            }
        }
        let sets: Vec<Stored<'a>> =
            pieces.into_iter().filter_map(|(piece, items)| Some((piece.id, whole(&piece, items)?))).collect();
        let (mut names, mut types) = (HashMap::<_, Vec<usize>>::new(), HashMap::<_, Vec<usize>>::new());
        for (number, (_, items)) in sets.iter().enumerate() {
            let (.., numbers) = items[0];
            if let Some(name) = numbers.name.as_deref() {
                names.entry(name).or_default().push(number);
            }
            types.entry((numbers.dtype, &numbers.shape[..])).or_default().push(number);
        }
        Self { sets, names, types }
    }

    /// The set whose numbers have the name of those of `found`, or else, since models are renamed
    /// as a whole, the one whose numbers have their dtype and shape, with as many such sets before
    /// it. Of either, it is the part of the same number. `None` if its tensors have other names.
    fn counterpart(&self, items: &[Item], found: &Found, [part, before]: [usize; 2]) -> Option<SetBase> {
        let item = |number: usize| &items[found.tensors[number].item];
        let numbers = item(0);
        let named = numbers.name.as_deref().and_then(|name| self.names.get(name)?.get(part));
        let same = || self.types.get(&(numbers.dtype, &numbers.shape[..]))?.get(before);
        let (id, others) = &self.sets[*named.or_else(same)?];
        let end = |number: usize| item(number).name.as_deref()?.get(found.stem..);
        let (.., other) = others.first()?;
        let stem = other.name.as_deref()?.strip_suffix(end(0)?)?;
        if others.len() != found.tensors.len() {
            return None;
        }
        let members = others.iter().enumerate().map(|(number, (start, until, other))| {
            let is_same = other.name.as_deref()?.strip_prefix(stem) == Some(end(number)?);
            let (own, length) = (&found.tensors[number], until - start);
            let is_whole = other.dtype.tensor_bytes(&other.shape) == Some(length);
            let is_like = other.dtype == own.dtype && own.length() == length;
            let shape = if is_whole { &other.shape } else { Some(&own.shape).filter(|_| is_like)? };
            is_same.then(|| member(other, shape, stem.len())).filter(Member::fits)
        });
        Some(SetBase { id: *id, run: None, members: members.collect::<Option<_>>()? })
    }
}

/// The items of a piece in the order of their bytes, if they are all of it.
fn whole<'a>(piece: &PieceRef, mut items: Vec<Placed<'a>>) -> Option<Vec<Placed<'a>>> {
    // The sort is stable: of tensors with the same bytes, the first one counts.
    items.sort_by_key(|(start, ..)| *start);
    items.dedup_by_key(|(start, ..)| *start);
    let follow = items.windows(2).all(|pair| pair[0].1 == pair[1].0);
    let ends = (items.first()?.0, items.last()?.1);
    (follow && ends == (0, piece.length)).then_some(items)
}

//! The counterparts of sets in a stored file: its sets of the same format.

use std::collections::HashMap;
use std::sync::Arc;

use bitx::layout::Dtype;

use super::super::file::Surveyed;
use super::super::sketches::Sheet;
use super::bases::SetBase;
use super::{Found, member};
use crate::codec::Member;
use crate::keys::ObjectId;
use crate::manifest::{FileManifest, Item, PieceRef};

/// A stored set: its piece, and the items in it, that of the numbers first.
type Stored<'a> = (ObjectId, Vec<&'a Item>);

/// An item, with the beginning and the end of its bytes in a piece.
type Placed<'a> = (u64, u64, &'a Item);

/// The sets of a stored file that are stored whole.
#[derive(Debug)]
pub(super) struct Partners<'a> {
    sets: Vec<Stored<'a>>,
    /// The sets by the name of their numbers.
    names: HashMap<&'a str, usize>,
    /// The sets by the dtype and the shape of their numbers.
    types: HashMap<(Dtype, &'a [u64]), Vec<usize>>,
}

/// For each set, the number of sets before it whose numbers have the same dtype and shape.
fn orders(all: &[Found], items: &[Item], surveyed: &[Surveyed]) -> Vec<usize> {
    let mut counts: HashMap<(Dtype, &[u64]), usize> = HashMap::new();
    let order = |found: &Found| {
        let item = &items[found.numbers(surveyed).part.item];
        let count = counts.entry((item.dtype, &item.shape[..])).or_default();
        *count += 1;
        *count - 1
    };
    all.iter().map(order).collect()
}

/// The counterparts of sets, all in that near file which has those of the most bytes.
pub(super) fn nearest(
    near: &[Arc<Sheet>],
    items: &[Item],
    surveyed: &[Surveyed],
    all: &[Found],
) -> Vec<Option<SetBase>> {
    let orders = orders(all, items, surveyed);
    let candidates = near.iter().map(|sheet| {
        let partners = Partners::of(sheet.manifest());
        let found = all.iter().zip(&orders).map(|(found, order)| partners.counterpart(items, surveyed, found, *order));
        let found: Vec<Option<SetBase>> = found.collect();
        let served = all.iter().zip(&found).filter(|(_, base)| base.is_some());
        (served.map(|(found, _)| found.length(surveyed)).sum::<u64>(), found)
    });
    // The first file is the one with the most signatures in common.
    let best = candidates.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map_or_else(|| vec![None; all.len()], |(_, found)| found)
}

impl<'a> Partners<'a> {
    fn of(file: &'a FileManifest) -> Self {
        let mut known: HashMap<ObjectId, usize> = HashMap::new();
        let mut pieces: Vec<(PieceRef, Vec<Placed<'_>>)> = Vec::new();
        for item in &file.items {
            let Some((piece, range)) = item.run().filter(|(piece, _)| piece.base.is_none()) else { continue };
            let number = *known.entry(piece.id).or_insert(pieces.len());
            if number == pieces.len() {
                pieces.push((*piece, Vec::new()));
            }
            pieces[number].1.push((range.start, range.end, item));
        }
        let sets: Vec<Stored<'a>> =
            pieces.into_iter().filter_map(|(piece, items)| Some((piece.id, whole(&piece, items)?))).collect();
        let (mut names, mut types) = (HashMap::new(), HashMap::<_, Vec<usize>>::new());
        for (number, (_, items)) in sets.iter().enumerate() {
            let numbers = items[0];
            names.extend(numbers.name.as_deref().map(|name| (name, number)));
            types.entry((numbers.dtype, &numbers.shape[..])).or_default().push(number);
        }
        Self { sets, names, types }
    }

    /// The set whose numbers have the name of those of `found`, or else, since models are renamed
    /// as a whole, the one whose numbers have their dtype and shape, with `order` such sets before
    /// it. `None` if its tensors have other names.
    fn counterpart(&self, items: &[Item], surveyed: &[Surveyed], found: &Found, order: usize) -> Option<SetBase> {
        let numbers = &items[found.numbers(surveyed).part.item];
        let named = numbers.name.as_deref().and_then(|name| self.names.get(name));
        let same = || self.types.get(&(numbers.dtype, &numbers.shape[..]))?.get(order);
        let (id, others) = &self.sets[*named.or_else(same)?];
        let own = found.parts(surveyed).map(|part| &items[part.part.item]);
        let ends: Vec<&str> = own.map(|item| item.name.as_deref()?.get(found.stem..)).collect::<Option<_>>()?;
        let stem = others[0].name.as_deref()?.strip_suffix(ends[0])?;
        let has_end = |(other, end): (&&Item, &&str)| {
            other.name.as_deref().and_then(|name| name.strip_prefix(stem)) == Some(*end)
        };
        let members: Vec<Member> = others.iter().map(|item| member(item, stem.len())).collect();
        let is_same = others.len() == ends.len() && others.iter().zip(&ends).all(has_end);
        (is_same && members.iter().all(Member::fits)).then_some((*id, members))
    }
}

/// The items of a piece in the order of their bytes, if they are all of it.
fn whole<'a>(piece: &PieceRef, mut items: Vec<Placed<'a>>) -> Option<Vec<&'a Item>> {
    // The sort is stable: of tensors with the same bytes, the first one counts.
    items.sort_by_key(|(start, ..)| *start);
    items.dedup_by_key(|(start, ..)| *start);
    let follow = items.windows(2).all(|pair| pair[0].1 == pair[1].0);
    let ends = (items.first()?.0, items.last()?.1);
    (follow && ends == (0, piece.length)).then(|| items.into_iter().map(|(.., item)| item).collect())
}

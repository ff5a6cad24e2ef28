//! Tensors that are put together from tensors of a stored file without a changed bit, such as
//! experts that another release has fused or split. They are stored as excerpts of that file.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};

use super::Ingest;
use super::file::Surveyed;
use super::fused::Held;
use super::relatives::Chosen;
use super::sketches::Sheet;
use crate::digest::Digest;
use crate::error::Result;
use crate::keys::{Kind, ObjectId};
use crate::manifest::{Cursor, Item, MOST_SOURCES, PieceRef};

/// The place of a part in a stored file.
#[derive(Debug, Clone)]
struct Origin {
    file: ObjectId,
    /// The number of the item in the file.
    item: usize,
    /// The range of its bytes in the file.
    range: Range<u64>,
    piece: PieceRef,
    /// The offset of its bytes in the piece.
    offset: u64,
    /// The digest of its bytes.
    digest: Digest,
}

impl Origin {
    /// Returns `true` if the piece holds more than these bytes.
    fn is_part(&self) -> bool {
        self.range.end - self.range.start < self.piece.length
    }
}

/// The pieces of the tensors of stored files.
#[derive(Debug)]
struct Origins(HashMap<Digest, Origin>);

impl Origins {
    /// The pieces in files that have no excerpts themselves.
    fn of<'s>(files: impl Iterator<Item = &'s Sheet>) -> Self {
        let mut origins = HashMap::new();
        for sheet in files.filter(|sheet| sheet.manifest().sources.is_empty()) {
            let mut end = 0;
            for (number, item) in sheet.manifest().items.iter().enumerate() {
                let mut start = end;
                end += item.length();
                for piece in &item.pieces {
                    let range = start..start + piece.length;
                    start = range.end;
                    let digest = piece.id.digest;
                    let origin = Origin { file: sheet.id, item: number, range, piece: *piece, offset: 0, digest };
                    origins.entry(digest).or_insert(origin);
                }
            }
        }
        Self(origins)
    }

    /// The origins of the parts of an item, if each has one. A tensor that consists of the pieces
    /// of one stored tensor is as well off with these.
    fn of_item(&self, parts: &[(&Surveyed, &Option<Held>)]) -> Option<Vec<Origin>> {
        let origins: Vec<Origin> = parts.iter().map(|(part, held)| self.of_part(part, held)).collect::<Option<_>>()?;
        let first = origins.first()?;
        let is_of_first = |origin: &Origin| origin.file == first.file && origin.item == first.item;
        (first.is_part() || !origins.iter().all(is_of_first)).then_some(origins)
    }

    fn of_part(&self, part: &Surveyed, held: &Option<Held>) -> Option<Origin> {
        if let Some(origin) = self.0.get(&part.digest).filter(|origin| origin.piece.length == part.length()) {
            return Some(origin.clone());
        }
        let held = held.as_ref()?;
        let whole = self.0.get(&held.piece.digest)?;
        let start = whole.range.start + held.offset;
        let range = start..start + part.length();
        Some(Origin { range, offset: held.offset, digest: part.digest, ..whole.clone() })
    }
}

impl Ingest<'_> {
    /// Describes the items of the file `digest` that consist of parts of stored files as excerpts,
    /// and takes their parts out of those that are to be stored. Returns the files that the
    /// excerpts are of.
    pub(super) async fn take_excerpts(
        &self,
        digest: &Digest,
        items: &mut [Item],
        (surveyed, bases): (&mut Vec<Surveyed>, &mut Vec<Vec<Chosen>>),
        held: &[Option<Held>],
        near: &[Arc<Sheet>],
    ) -> Result<Vec<ObjectId>> {
        let found = self.origins(items, surveyed, held, near);
        // Other files may have excerpts of a file that is damaged and added again.
        if found.is_empty() || !self.store.ids(Kind::Files, digest).await?.is_empty() {
            return Ok(Vec::new());
        }
        let (mut sources, mut cursor, mut taken) = (Vec::new(), Cursor::default(), BTreeSet::new());
        for (item, origins) in found {
            let sound = stream::iter(&origins).map(|origin| self.is_sound(origin)).buffer_unordered(self.store.width());
            if !sound.try_fold(true, |all, one| async move { Ok(all && one) }).await? {
                continue;
            }
            for Origin { file, range, .. } in origins {
                let known = sources.iter().position(|source| *source == file);
                let source = known.unwrap_or(sources.len());
                if known.is_none() {
                    sources.push(file);
                }
                cursor.append(&mut items[item].excerpts, source, range);
            }
            taken.insert(item);
        }
        for part in leave_out(&taken, surveyed, bases) {
            self.counts.known.fetch_add(part.length(), Ordering::Relaxed);
            (self.progress)(part.length());
        }
        Ok(sources)
    }

    /// The items that consist of parts of stored files, with these parts.
    fn origins(
        &self,
        items: &[Item],
        surveyed: &[Surveyed],
        held: &[Option<Held>],
        near: &[Arc<Sheet>],
    ) -> Vec<(usize, Vec<Origin>)> {
        let usable = near.iter().filter(|sheet| !self.run.is_condemned(&Kind::Files.key(&sheet.id)));
        let origins = Origins::of(usable.take(MOST_SOURCES).map(|sheet| &**sheet));
        let parts: Vec<(&Surveyed, &Option<Held>)> = surveyed.iter().zip(held).collect();
        let of_items = parts.chunk_by(|(a, _), (b, _)| a.part.item == b.part.item);
        let named = of_items.filter_map(|parts| {
            let item = parts.first()?.0.part.item;
            items[item].name.as_ref()?;
            Some((item, origins.of_item(parts)?))
        });
        named.collect()
    }

    /// Returns `true` if the run may rely on the piece of an origin, and the bytes are there.
    async fn is_sound(&self, origin: &Origin) -> Result<bool> {
        if self.is_condemned(&origin.piece) {
            return Ok(false);
        }
        let bytes = match self.store.piece(&origin.piece).await {
            Err(error) if error.is_of_object() => return Ok(false),
            bytes => bytes?,
        };
        let within = origin.offset as usize..(origin.offset + origin.range.end - origin.range.start) as usize;
        let digest = origin.digest;
        let is_same = move || bytes.get(within).is_some_and(|bytes| Digest::of(bytes) == digest);
        // The digest of a whole piece was checked when it was read.
        Ok(!origin.is_part() || self.store.compute(is_same).await)
    }
}

/// Leaves out the parts of the items that are `taken`, and their bases. Returns those parts.
pub(super) fn leave_out(
    taken: &BTreeSet<usize>,
    surveyed: &mut Vec<Surveyed>,
    bases: &mut Vec<Vec<Chosen>>,
) -> Vec<Surveyed> {
    let (left, out): (Vec<_>, Vec<_>) = std::mem::take(surveyed)
        .into_iter()
        .zip(std::mem::take(bases))
        .partition(|(part, _)| !taken.contains(&part.part.item));
    (*surveyed, *bases) = left.into_iter().unzip();
    out.into_iter().map(|(part, _)| part).collect()
}

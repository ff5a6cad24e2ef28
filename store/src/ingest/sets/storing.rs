//! The storing of sets, as packs of a file of their own.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::super::file::Surveyed;
use super::super::local::LocalFile;
use super::super::relatives::Chosen;
use super::super::sketches::Sheet;
use super::super::{Ingest, excerpts, packs};
use super::bases::SetBase;
use super::{Found, find};
use crate::codec::{self, BaseSet, Coded, Set};
use crate::digest::Digest;
use crate::error::Result;
use crate::keys::{Kind, ObjectId};
use crate::manifest::{Cursor, FileManifest, Item, MOST_SOURCES, PieceRef};

/// Describes the items of sets as excerpts of the file that consists of the sets.
fn describe(items: &mut [Item], surveyed: &[Surveyed], sets: &[(Found, Vec<SetBase>)], source: usize) {
    let (mut ranges, mut start) = (HashMap::new(), 0);
    for part in sets.iter().flat_map(|(found, _)| found.parts(surveyed)) {
        items[part.part.item].blake3 = packs::digest(part);
        ranges.insert(part.part.item, start..start + part.length());
        start += part.length();
    }
    let mut cursor = Cursor::default();
    for (number, item) in items.iter_mut().enumerate() {
        if let Some(range) = ranges.remove(&number) {
            cursor.append(&mut item.excerpts, source, range);
        }
    }
}

impl Ingest<'_> {
    /// Stores the sets of the file `digest`, and describes their items as excerpts of the file that
    /// consists of them, which becomes one of `sources`. Returns the parts of the sets, each with
    /// the set that it is in.
    pub(in crate::ingest) async fn take_sets(
        &self,
        file: &Arc<LocalFile>,
        digest: &Digest,
        items: &mut [Item],
        (surveyed, bases): (&mut Vec<Surveyed>, &mut Vec<Vec<Chosen>>),
        near: &[Arc<Sheet>],
        sources: &mut Vec<ObjectId>,
    ) -> Result<Vec<(Surveyed, PieceRef)>> {
        let found = if self.search.is_some() { find(items, surveyed) } else { Vec::new() };
        // As with other excerpts: files that have some of a damaged file rely on its own pieces.
        if found.is_empty() || sources.len() >= MOST_SOURCES || !self.store.ids(Kind::Files, digest).await?.is_empty() {
            return Ok(Vec::new());
        }
        let sets = self.set_bases(file, items, (surveyed, bases), near, found).await?;
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        let (own, stored) = self.store_sets(file, items, surveyed, &sets).await?;
        describe(items, surveyed, &sets, sources.len());
        sources.push(own);
        let parts = sets.iter().zip(stored).flat_map(|((found, _), piece)| {
            found.parts(surveyed).map(move |part| (part.part.item, piece)).collect::<Vec<_>>()
        });
        let pieces: HashMap<usize, PieceRef> = parts.collect();
        let parts = excerpts::leave_out(&pieces.keys().copied().collect(), surveyed, bases);
        Ok(parts.into_iter().filter_map(|part| pieces.get(&part.part.item).map(|piece| (part, *piece))).collect())
    }

    /// Stores sets as packs of a file of their own. Returns its id and the packs. Its items have
    /// neither names nor digests, which are those of the file with the excerpts.
    async fn store_sets(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        surveyed: &[Surveyed],
        sets: &[(Found, Vec<SetBase>)],
    ) -> Result<(ObjectId, Vec<PieceRef>)> {
        let read = |found| self.read_set(file, items, surveyed, found);
        let stored = sets.iter().map(|(found, bases)| async move { self.store_set(read(found).await?, bases).await });
        let mut stored = stream::iter(stored).buffered(self.store.width());
        let (mut hasher, mut packs) = (blake3::Hasher::new(), Vec::with_capacity(sets.len()));
        while let Some((piece, bytes)) = stored.try_next().await? {
            packs.push(piece);
            let hash = move || {
                hasher.update(&bytes);
                hasher
            };
            hasher = self.store.compute(hash).await;
        }
        let parts = sets.iter().flat_map(|(found, _)| found.parts(surveyed));
        let own = parts.map(|part| {
            let Item { dtype, shape, .. } = &items[part.part.item];
            Item::new(None, *dtype, shape.clone())
        });
        let manifest = FileManifest::new(own.collect(), packs.clone(), Vec::new());
        Ok((self.publish_file(hasher.finalize().into(), manifest).await?, packs))
    }

    /// Stores a set, unless it is stored already. Returns it with its bytes.
    async fn store_set(&self, set: Set, bases: &[SetBase]) -> Result<(PieceRef, bytes::Bytes)> {
        let (bytes, digest, length) = (set.bytes.clone(), set.digest, set.bytes.len() as u64);
        let (id, base) = match self.known_piece(&digest, length).await? {
            Some(known) => known,
            None => {
                let coded = match self.code_set(set.clone(), bases).await {
                    Err(error) if !bases.is_empty() && error.is_of_object() => self.code_set(set.clone(), &[]).await?,
                    coded => coded?,
                };
                match self.create_piece(digest, length, coded).await? {
                    Some(stored) => stored,
                    None => self.replace_piece(digest, self.code_set(set, &[]).await?).await?,
                }
            }
        };
        (self.progress)(length);
        Ok((PieceRef { id, base, length }, bytes))
    }

    /// Codes a set, against one of the bases that the run may rely on.
    pub(super) async fn code_set(&self, set: Set, chosen: &[SetBase]) -> Result<Coded> {
        let mut bases = Vec::with_capacity(chosen.len());
        for (id, members) in chosen {
            if self.store.is_there(self.run, id).await? {
                let (bytes, members) = (self.store.base_unchecked(id).await?, members.clone());
                bases.push(BaseSet { id: *id, bytes, members });
            }
        }
        let (digest, effort) = (set.digest, self.effort);
        let coded = self.store.compute(move || codec::encode_set(&set, bases, effort)).await;
        coded.map_err(|failure| packs::error(failure, &digest))
    }

    /// Reads a set, and checks that its tensors are still what they were.
    pub(super) async fn read_set(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        surveyed: &[Surveyed],
        found: &Found,
    ) -> Result<Set> {
        let parts = found.parts(surveyed).map(|part| (part.length(), part.digest)).collect();
        let (bytes, digest) = packs::read(self.store, file, found.ranges(surveyed), parts).await?;
        Ok(Set { bytes, digest, members: found.members(items, surveyed) })
    }
}

//! The storing of sets, as packs of a file of their own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::super::file::Surveyed;
use super::super::local::LocalFile;
use super::super::relatives::Chosen;
use super::super::sketches::Sheet;
use super::super::{Ingest, excerpts, packs};
use super::bases::{Based, SetBase};
use super::cut::Tensor;
use super::{Found, find};
use crate::codec::{self, BaseSet, Coded, Set};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::{Kind, ObjectId};
use crate::manifest::{Cursor, FileManifest, Item, MOST_SOURCES, PieceRef};

/// Describes the items of sets as excerpts of the file that consists of the sets.
fn describe(items: &mut [Item], surveyed: &[Surveyed], sets: &[Based], source: usize) {
    let (mut ranges, mut start) = (BTreeMap::<usize, Vec<Range<u64>>>::new(), 0);
    for tensor in sets.iter().flat_map(|(found, _)| &found.tensors) {
        let range = start..start + tensor.length();
        start = range.end;
        if !tensor.is_repeated {
            ranges.entry(tensor.item).or_default().push(range);
        }
    }
    // Items of several parts have a digest already.
    for part in surveyed.iter().filter(|part| ranges.contains_key(&part.part.item)) {
        let item = &mut items[part.part.item];
        item.blake3 = item.blake3.or_else(|| packs::digest(part));
    }
    let mut cursor = Cursor::default();
    for (item, ranges) in ranges {
        ranges.into_iter().for_each(|range| cursor.append(&mut items[item].excerpts, source, range));
    }
}

/// The digests of sets and of their tensors, as they are read for the second time.
#[derive(Default)]
struct Reread {
    all: blake3::Hasher,
    /// The digests of tensors by their items.
    tensors: HashMap<usize, blake3::Hasher>,
}

impl Reread {
    /// Adds a set, which consists of these tensors.
    fn add(mut self, tensors: &[Tensor], bytes: &[u8]) -> Self {
        self.all.update(bytes);
        let mut rest = bytes;
        for tensor in tensors {
            let (own, behind) = rest.split_at(tensor.length() as usize);
            rest = behind;
            if !tensor.is_repeated {
                self.tensors.entry(tensor.item).or_default().update(own);
            }
        }
        self
    }

    /// Returns `true` if the tensors are what they were when they were first read.
    fn is_same(&self, items: &[Item], surveyed: &[Surveyed]) -> bool {
        let digest = |item: usize| self.tensors.get(&item).map(|hasher| Digest::from(hasher.finalize()));
        let is_same = |part: &Surveyed| {
            let first = items[part.part.item].blake3.unwrap_or(part.digest);
            digest(part.part.item).is_none_or(|digest| digest == first)
        };
        surveyed.iter().all(is_same)
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
        let found = if self.search.is_some() { find(file, items, surveyed)? } else { Vec::new() };
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
        let mut pieces: HashMap<usize, PieceRef> = HashMap::new();
        for ((found, _), piece) in sets.iter().zip(stored) {
            for tensor in &found.tensors {
                pieces.entry(tensor.item).or_insert(piece);
            }
        }
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
        sets: &[Based],
    ) -> Result<(ObjectId, Vec<PieceRef>)> {
        let stored = sets.iter().map(|(found, bases)| async move {
            let set = self.read_set(file, items, found).await?;
            let stored = self.store_set(set, bases).await?;
            let new = found.tensors.iter().filter(|tensor| !tensor.is_repeated);
            (self.progress)(new.map(Tensor::length).sum());
            Ok::<_, Error>(stored)
        });
        let mut stored = stream::iter(stored).buffered(self.store.width());
        let (mut reread, mut packs, mut further) = (Reread::default(), Vec::with_capacity(sets.len()), Vec::new());
        while let Some(StoredSet { piece, further: of_set, bytes }) = stored.try_next().await? {
            let tensors = sets[packs.len()].0.tensors.clone();
            packs.push(piece);
            further.extend(of_set);
            reread = self.store.compute(move || reread.add(&tensors, &bytes)).await;
        }
        if !reread.is_same(items, surveyed) {
            return Err(Error::file(file.path())(io::Error::other("the file changed while it was read")));
        }
        let tensors = sets.iter().flat_map(|(found, _)| &found.tensors);
        let own = tensors.map(|tensor| Item::new(None, tensor.dtype, tensor.shape.clone()));
        let mut known = HashSet::new();
        further.retain(|id| known.insert(*id));
        let manifest = FileManifest::new(own.collect(), packs.clone(), Vec::new()).with_further(further);
        Ok((self.publish_file(reread.all.finalize().into(), manifest).await?, packs))
    }

    /// Stores a set, unless it is stored already.
    async fn store_set(&self, set: Set, bases: &[SetBase]) -> Result<StoredSet> {
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
        // What is stored tells its base, whoever has stored it.
        let further = if base.is_some() { self.store.bases_of(&id).await?.1 } else { Vec::new() };
        Ok(StoredSet { piece: PieceRef { id, base, length }, further, bytes })
    }

    /// Codes a set, against one of the bases that the run may rely on.
    pub(super) async fn code_set(&self, set: Set, chosen: &[SetBase]) -> Result<Coded> {
        let mut bases = Vec::with_capacity(chosen.len());
        for SetBase { id, run, members } in chosen {
            let pieces = run.as_ref().map_or(std::slice::from_ref(id), |run| &run.pieces);
            let mut is_there = true;
            for piece in pieces {
                is_there &= self.store.is_there(self.run, piece).await?;
            }
            if is_there {
                let bytes = match run {
                    Some(run) => self.store.gathered(run, &Kind::Pieces.key(id)).await?,
                    None => self.store.base_unchecked(id).await?,
                };
                bases.push(BaseSet { id: *id, run: run.clone(), bytes, members: members.clone() });
            }
        }
        let (digest, effort) = (set.digest, self.effort);
        let coded = self.store.compute(move || codec::encode_set(&set, bases, effort)).await;
        coded.map_err(|failure| packs::error(failure, &digest))
    }

    /// Reads a set.
    pub(super) async fn read_set(&self, file: &Arc<LocalFile>, items: &[Item], found: &Found) -> Result<Set> {
        let (members, ranges, file) = (found.members(items), found.ranges(), file.clone());
        let read = self.store.compute(move || {
            let bytes = packs::gather(&file, &ranges)?;
            Ok(Set { digest: Digest::of(&bytes), bytes, members })
        });
        read.await
    }
}

/// A set that is stored, with its bytes and the further pieces of the run that is its base.
struct StoredSet {
    piece: PieceRef,
    further: Vec<ObjectId>,
    bytes: bytes::Bytes,
}

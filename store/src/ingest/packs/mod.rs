//! Packs: pieces that hold the short parts of a file, in the order of the file. Thousands of short
//! tensors thus take a few objects, and are coded together.

mod groups;
mod partners;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};

use super::Ingest;
use super::file::Surveyed;
use super::local::LocalFile;
use super::parts::Part;
use super::relatives::Chosen;
use super::sketches::{self, Sheet};
use crate::codec::{self, Coded, Failure, Packed, Segment};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::Kind;
use crate::manifest::{Item, PieceRef};
use crate::store::Store;
use groups::Group;
use partners::Partners;

/// The maximum length of a pack in bytes. To read one tensor, a reader decodes a pack and its base.
pub(crate) const LONGEST: u64 = 4 << 20;
/// The least length in bytes of an item in a pack that keeps a digest of its own. That of a shorter
/// one would be more than a hundredth of it.
const LEAST_DIGESTED: u64 = 4 << 10;

/// Decides for each part if it goes into a pack: all whole items that are too short for a sketch.
/// None does if only one is, or if most of their bytes have `bases`, which are pieces of their own.
pub(super) fn short(items: &[Item], surveyed: &[Surveyed], bases: &[Vec<Chosen>]) -> Vec<bool> {
    let mut parts = vec![0usize; items.len()];
    surveyed.iter().for_each(|part| parts[part.part.item] += 1);
    let is_short = |part: &Surveyed| {
        let (number, item) = (part.part.item, &items[part.part.item]);
        let is_whole = parts[number] == 1 && item.dtype.tensor_bytes(&item.shape) == Some(part.length());
        is_whole && part.sketch.is_none()
    };
    let mut short: Vec<bool> = surveyed.iter().map(is_short).collect();
    let (mut count, mut bytes, mut based) = (0, 0, 0);
    for ((part, base), _) in surveyed.iter().zip(bases).zip(&short).filter(|(_, short)| **short) {
        count += 1;
        bytes += part.length();
        based += if base.is_empty() { 0 } else { part.length() };
    }
    if count < 2 || based * 2 > bytes {
        short.fill(false);
    }
    short
}

/// Notes the digests of the items that go into packs, unless they are very short.
pub(super) fn note_digests(items: &mut [Item], surveyed: &[Surveyed], short: &[bool]) {
    let short = surveyed.iter().zip(short).filter(|(_, short)| **short);
    let digests = short.filter_map(|(part, _)| Some((part, digest(part)?)));
    digests.for_each(|(part, digest)| items[part.part.item].blake3 = Some(digest));
}

/// Joins consecutive short parts into units that are read at once. `several` are the items of
/// several parts, whose parts stay alone.
pub(super) fn units(parts: Vec<Part>, several: &[bool]) -> Vec<Vec<Part>> {
    let length = |part: &Part| part.range.end - part.range.start;
    let is_short = |part: &Part| length(part) < sketches::LEAST && !several[part.item];
    let mut units: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        match units.last_mut() {
            Some(unit) if is_short(&unit[0]) && is_short(&part) && part.range.end - unit[0].range.start <= LONGEST => {
                unit.push(part);
            }
            _ => units.push(vec![part]),
        }
    }
    units
}

/// The packs of a local file as they are cut without a base: the ranges and the digest of each.
pub(super) fn copies(
    file: &LocalFile,
    items: &[Item],
    surveyed: &[Surveyed],
) -> Result<Vec<(Vec<Range<u64>>, Digest)>> {
    let short = short(items, surveyed, &vec![Vec::new(); surveyed.len()]);
    let parts: Vec<&Surveyed> = surveyed.iter().zip(short).filter(|(_, short)| *short).map(|(part, _)| part).collect();
    let packs = groups::of(&parts, &vec![None; parts.len()]).into_iter().map(|group| {
        let ranges = ranges(group.parts.iter().map(|part| part.part.range.clone()));
        gather(file, &ranges).map(|bytes| (ranges, Digest::of(&bytes)))
    });
    packs.collect()
}

/// The ranges, of which those that follow one another are joined.
pub(crate) fn ranges(all: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in all {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

/// The bytes of a local file in these ranges.
pub(super) fn gather(file: &LocalFile, ranges: &[Range<u64>]) -> Result<Bytes> {
    if let [range] = ranges {
        return file.read(range.clone());
    }
    let mut bytes = BytesMut::new();
    for range in ranges {
        let part = file.read(range.clone())?;
        bytes.extend_from_slice(&part);
        file.give_back(part);
    }
    Ok(bytes.freeze())
}

/// Reads the bytes in some ranges of a local file, with their digest. Their parts must have these
/// lengths and digests still.
pub(super) async fn read(
    store: &Store,
    file: &Arc<LocalFile>,
    ranges: Vec<Range<u64>>,
    parts: Vec<(u64, Digest)>,
) -> Result<(Bytes, Digest)> {
    let file = file.clone();
    let read = store.compute(move || {
        let bytes = gather(&file, &ranges)?;
        let mut rest = &bytes[..];
        for (length, digest) in parts {
            let (part, behind) = rest.split_at(length as usize);
            if Digest::of(part) != digest {
                let changed = io::Error::other("the file changed while it was read");
                return Err(Error::file(file.path())(changed));
            }
            rest = behind;
        }
        let digest = Digest::of(&bytes);
        Ok((bytes, digest))
    });
    read.await
}

/// The error of a piece with this digest that could not be coded.
pub(super) fn error(failure: Failure, digest: &Digest) -> Error {
    match failure {
        Failure::Changed => Error::damaged(Kind::Pieces.place(digest), codec::OTHER_DIGEST),
        Failure::Base(id) => Error::damaged(Kind::Pieces.key(&id), codec::OTHER_DIGEST),
        Failure::Codec(problem) => Error::damaged(Kind::Pieces.place(digest), problem),
    }
}

/// The digest of a part that an item in a pack keeps, unless it is very short.
pub(super) fn digest(part: &Surveyed) -> Option<Digest> {
    (part.length() >= LEAST_DIGESTED).then_some(part.digest)
}

impl Ingest<'_> {
    /// Stores the packs of the short parts of a file. `bases` are the bases of its other parts.
    pub(super) async fn packs(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        (surveyed, short): (&[Surveyed], &[bool]),
        near: &[Arc<Sheet>],
        bases: &[Vec<Chosen>],
    ) -> Result<Vec<PieceRef>> {
        let parts: Vec<&Surveyed> =
            surveyed.iter().zip(short).filter(|(_, short)| **short).map(|(part, _)| part).collect();
        let (partners, packs) = match Partners::nearest(near, items, (surveyed, bases), &parts) {
            Some(nearest) => (parts.iter().map(|part| nearest.of(items, part)).collect(), nearest.packs()),
            None => (vec![None; parts.len()], &[][..]),
        };
        let stored = groups::of(&parts, &partners).into_iter().map(|group| self.pack(file, group, packs));
        stream::iter(stored).buffered(self.store.width()).try_collect().await
    }

    /// Stores a pack, unless it is stored already. `packs` are those of the file that the base is
    /// of.
    async fn pack(&self, file: &Arc<LocalFile>, group: Group<'_>, packs: &[PieceRef]) -> Result<PieceRef> {
        let (bytes, digest) = self.read_pack(file, &group).await?;
        let length = bytes.len() as u64;
        let (id, base) = match self.known_piece(&digest, length).await? {
            Some(known) => known,
            None => {
                let base = group.base.and_then(|number| packs.get(number)).map(|pack| pack.id);
                let coded = match self.code_pack(&bytes, digest, &group.segments, base).await {
                    Err(error) if base.is_some() && error.is_of_object() => {
                        self.code_pack(&bytes, digest, &group.segments, None).await?
                    }
                    coded => coded?,
                };
                match self.create_piece(digest, length, coded).await? {
                    Some(stored) => stored,
                    None => {
                        let whole = self.code_pack(&bytes, digest, &group.segments, None).await?;
                        self.replace_piece(digest, whole).await?
                    }
                }
            }
        };
        (self.progress)(length);
        Ok(PieceRef { id, base, length })
    }

    /// Reads the bytes of a pack, and checks that they are still what they were.
    async fn read_pack(&self, file: &Arc<LocalFile>, group: &Group<'_>) -> Result<(Bytes, Digest)> {
        let parts = group.parts.iter().map(|part| (part.length(), part.digest)).collect();
        read(self.store, file, ranges(group.parts.iter().map(|part| part.part.range.clone())), parts).await
    }

    /// Codes a pack, against a base if there is one that the run may rely on.
    async fn code_pack(
        &self,
        bytes: &Bytes,
        digest: Digest,
        segments: &[Segment],
        base: Option<crate::keys::ObjectId>,
    ) -> Result<Coded> {
        let base = match base {
            Some(id) if self.store.is_there(self.run, &id).await? => Some((id, self.store.base_unchecked(&id).await?)),
            _ => None,
        };
        let (bytes, segments, effort) = (bytes.clone(), segments.to_vec(), self.effort);
        let coded = self
            .store
            .compute(move || codec::encode_pack(Packed { bytes: &bytes, digest, segments: &segments }, base, effort));
        coded.await.map_err(|failure| error(failure, &digest))
    }
}

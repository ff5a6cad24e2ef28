//! Adds one file: finds its pieces, looks up those that are stored, and stores the others.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bitx::distance::Sketch;
use bitx::layout::Dtype;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutPayload;

use super::local::{LocalFile, Source};
use super::parts::{self, Part};
use super::relatives::Chosen;
use super::signature::{self, Signature};
use super::sketches::Sheet;
use super::{Ingest, bases, packs, search, sketches};
use crate::codec::{self, Base, Coded, Failure, Typed};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::{Kind, ObjectId};
use crate::manifest::{FileEntry, FileManifest, Item, PieceRef};

/// A part that was read, with its digest and sketch.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) part: Part,
    /// The part is one of a tensor, and not of other bytes.
    pub(super) is_tensor: bool,
    pub(super) digest: Digest,
    pub(super) sketch: Option<Sketch>,
    pub(super) signatures: Vec<Signature>,
    /// The signature of the matrix transposed, if exporters may have transposed it.
    pub(super) column: Option<Signature>,
    /// The number of weights, if the part has packed numbers whose companions are known.
    pub(super) weights: Option<u64>,
}

impl Surveyed {
    pub(super) fn of(part: Part, is_tensor: bool, bytes: &[u8]) -> Self {
        let is_large = parts::bulk(part.dtype, is_tensor, bytes.len() as u64) >= sketches::LEAST;
        let sketch = is_large.then(|| Sketch::of(part.dtype, bytes));
        let signatures = match &sketch {
            Some(sketch) if !is_tensor => signatures_of_bytes(sketch, bytes),
            _ => signatures(part.dtype, is_tensor, bytes),
        };
        let column = column(&part, bytes).filter(|_| is_large);
        Self { digest: Digest::of(bytes), part, is_tensor, sketch, signatures, column, weights: None }
    }

    /// The length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.part.range.end - self.part.range.start
    }
}

/// The signature of a matrix transposed, as exporters to ONNX store linear layers.
fn column(part: &Part, bytes: &[u8]) -> Option<Signature> {
    let (&[_, columns], (1, width)) = (&part.shape[..], part.dtype.block()) else { return None };
    let row = usize::try_from(columns.checked_mul(width)?).ok().filter(|row| *row > 0)?;
    let exported = matches!(part.dtype, Dtype::F32 | Dtype::F16 | Dtype::I8 | Dtype::U8);
    let words = exported.then(|| bytes.chunks_exact(row).flat_map(|row| &row[..width as usize]));
    let first: Vec<u8> = words?.take(signature::MOST_BYTES).copied().collect();
    Signature::of_tensor(part.dtype, &first)
}

/// The signatures of a tensor, or of bytes that are no tensor if they are long enough.
pub(super) fn signatures(dtype: Dtype, is_tensor: bool, bytes: &[u8]) -> Vec<Signature> {
    match is_tensor {
        true => Signature::of_tensor(dtype, bytes).into_iter().collect(),
        false if (bytes.len() as u64) < sketches::LEAST => Vec::new(),
        false => signatures_of_bytes(&Sketch::of(dtype, bytes), bytes),
    }
}

fn signatures_of_bytes(sketch: &Sketch, bytes: &[u8]) -> Vec<Signature> {
    Signature::of_bytes(sketch).into_iter().chain(Signature::of_contents(bytes)).collect()
}

/// Reads a unit of consecutive parts. Returns them with their bytes.
fn read_unit(file: &LocalFile, unit: Vec<Part>, is_tensor: &[bool]) -> Result<(Vec<Surveyed>, Bytes)> {
    let (Some(first), Some(last)) = (unit.first(), unit.last()) else { return Ok(Default::default()) };
    let start = first.range.start;
    let bytes = file.read(start..last.range.end)?;
    let surveyed = unit.into_iter().zip(is_tensor).map(|(part, is_tensor)| {
        let own = (part.range.start - start) as usize..(part.range.end - start) as usize;
        Surveyed::of(part, *is_tensor, &bytes[own])
    });
    Ok((surveyed.collect(), bytes))
}

/// The id of a stored piece, and its base.
pub(super) type Stored = (ObjectId, Option<ObjectId>);

impl Ingest<'_> {
    /// Stores a file, unless it is stored already, and returns its entry in the manifest.
    pub(crate) async fn file(&self, source: &Source) -> Result<FileEntry> {
        let path = source.file.clone();
        let opened = self.store.compute(move || {
            let file = LocalFile::open(&path)?;
            let mut warnings = Vec::new();
            let (items, parts) = parts::of(&file, &mut |warning| warnings.push(warning))?;
            Ok((Arc::new(file), items, parts, warnings))
        });
        let (file, mut items, parts, warnings) = opened.await?;
        self.counts.warn(&source.path, warnings);
        let (digest, mut surveyed) = self.survey(&file, parts, &mut items).await?;
        let id = match self.find_file(&digest).await? {
            Some(id) => {
                self.counts.known.fetch_add(file.length(), Ordering::Relaxed);
                (self.progress)(file.length());
                let parts = self.store.file(&id).await?.parts();
                if parts.len() == surveyed.len() {
                    self.sign_sets(&file, &items, &mut surveyed).await?;
                    let near = self.near(&items, &surveyed).await?;
                    self.store_hints(&id, &surveyed, &parts, &near).await?;
                }
                id
            }
            None => {
                self.sign_sets(&file, &items, &mut surveyed).await?;
                self.store_file(&file, digest, items, surveyed).await?
            }
        };
        file.input().check_unchanged().map_err(Error::file(file.path()))?;
        Ok(FileEntry { path: source.path.clone(), length: file.length(), id })
    }

    /// Reads the file once and computes its digest, the digests and sketches of its parts, and the
    /// digests of the `items` that have several parts.
    pub(super) async fn survey(
        &self,
        file: &Arc<LocalFile>,
        parts: Vec<Part>,
        items: &mut [Item],
    ) -> Result<(Digest, Vec<Surveyed>)> {
        let is_tensor: Vec<bool> = items.iter().map(|item| item.name.is_some()).collect();
        let read = |unit: Vec<Part>| {
            let (file, is_tensor) = (file.clone(), unit.iter().map(|part| is_tensor[part.item]).collect::<Vec<_>>());
            self.store.compute(move || read_unit(&file, unit, &is_tensor))
        };
        let mut several = vec![false; items.len()];
        parts.iter().for_each(|part| several[part.item] |= part.number > 0);
        let units = packs::units(parts, &several);
        let mut units = stream::iter(units).map(read).buffered(self.store.width());
        let (mut hasher, mut tensor) = (blake3::Hasher::new(), blake3::Hasher::new());
        let mut surveyed: Vec<Surveyed> = Vec::new();
        while let Some((mut parts, bytes)) = units.try_next().await? {
            // A unit of several parts has no items of several parts.
            let Some((item, number)) = parts.first().map(|part| (part.part.item, part.part.number)) else { continue };
            surveyed.append(&mut parts);
            let (several, file) = (several[item], file.clone());
            let hash = move || {
                hasher.update(&bytes);
                if number == 0 {
                    tensor.reset();
                }
                if several {
                    tensor.update(&bytes);
                }
                file.give_back(bytes);
                (hasher, tensor)
            };
            (hasher, tensor) = self.store.compute(hash).await;
            if several {
                items[item].blake3 = Some(tensor.finalize().into());
            }
        }
        Ok((hasher.finalize().into(), surveyed))
    }

    /// A stored file with this digest, if all objects that it needs exist and are sound.
    pub(super) async fn find_file(&self, digest: &Digest) -> Result<Option<ObjectId>> {
        let Some(id) = self.store.find(self.run, Kind::Files, digest).await? else { return Ok(None) };
        let manifest = match self.store.file(&id).await {
            Err(error) if error.is_of_object() => return Ok(None),
            manifest => manifest?,
        };
        let is_condemned = |id: ObjectId| self.run.is_condemned(&Kind::Pieces.key(&id));
        if manifest.needs.iter().any(|source| self.run.is_condemned(&Kind::Files.key(source)))
            || manifest.needed_pieces().any(is_condemned)
        {
            return Ok(None);
        }
        let pieces: Vec<PieceRef> = manifest.pieces().copied().collect();
        let usable = stream::iter(pieces).map(|piece| async move { self.store.is_sound(&piece).await });
        let all = usable.buffer_unordered(self.store.width()).try_fold(true, |all, one| async move { Ok(all && one) });
        Ok(all.await?.then_some(id))
    }

    /// Returns `true` if a collection may remove a piece or its base.
    pub(super) fn is_condemned(&self, piece: &PieceRef) -> bool {
        let condemned = |id: &ObjectId| self.run.is_condemned(&Kind::Pieces.key(id));
        condemned(&piece.id) || piece.base.as_ref().is_some_and(condemned)
    }

    /// Stores the pieces of a file that are missing, its sketches and its manifest.
    async fn store_file(
        &self,
        file: &Arc<LocalFile>,
        digest: Digest,
        mut items: Vec<Item>,
        surveyed: Vec<Surveyed>,
    ) -> Result<ObjectId> {
        let near = self.near(&items, &surveyed).await?;
        let mut surveyed = self.recut(file, &mut items, surveyed, &near).await?;
        let mut bases = bases::choose(&near, &items, &surveyed);
        let held = self.look_within(file, &surveyed, &near, &mut bases).await?;
        let mut sources = self.take_excerpts(&digest, &mut items, (&mut surveyed, &mut bases), &held, &near).await?;
        let open = (&mut surveyed, &mut bases);
        let sets = self.take_sets(file, &digest, &mut items, open, &near, &mut sources).await?;
        let short = packs::short(&items, &surveyed, &bases);
        self.look_at_values(file, &items, &surveyed, &near, &mut bases).await?;
        packs::note_digests(&mut items, &surveyed, &short);
        let packs = self.packs(file, &items, (&surveyed, &short), &near, &bases);
        let long = surveyed.iter().zip(&bases).zip(&short).filter(|(_, short)| !**short).map(|(long, _)| long);
        let pieces = long.map(|(surveyed, base)| async move {
            Ok::<_, Error>((surveyed.part.item, self.piece(file, surveyed, base.clone()).await?))
        });
        let pieces = stream::iter(pieces).buffered(self.store.width()).try_collect::<Vec<_>>();
        let (packs, pieces) = futures::try_join!(packs, pieces)?;
        pieces.into_iter().for_each(|(item, piece)| items[item].pieces.push(piece));
        let id = self.run.object(digest);
        let manifest = FileManifest::new(items, packs, sources);
        let mut parts = manifest.parts();
        for (part, piece) in sets {
            surveyed.push(part);
            parts.push((piece, true));
        }
        self.store_hints(&id, &surveyed, &parts, &near).await?;
        self.publish_file(digest, manifest).await
    }

    /// Stores the manifest of a file whose pieces are stored.
    pub(super) async fn publish_file(&self, digest: Digest, manifest: FileManifest) -> Result<ObjectId> {
        let id = self.run.object(digest);
        let key = Kind::Files.key(&id);
        let bytes = self.store.compute(move || manifest.to_bytes(&Kind::Files.key(&id))).await?;
        // Another writer may have stored the file first. Otherwise, what is there is damaged.
        if !self.create(&key, bytes.clone()).await? && self.find_file(&digest).await? != Some(id) {
            self.replace(&key, bytes).await?;
        }
        Ok(id)
    }

    /// Stores the piece of a part, unless it is stored already.
    async fn piece(&self, file: &Arc<LocalFile>, surveyed: &Surveyed, bases: Vec<Chosen>) -> Result<PieceRef> {
        let (digest, length) = (surveyed.digest, surveyed.length());
        let (id, base) = match self.known_piece(&digest, length).await? {
            Some(known) => known,
            None => self.store_piece(file, surveyed, bases).await?,
        };
        (self.progress)(length);
        Ok(PieceRef { id, base, length })
    }

    /// A stored piece with this content, if the run may rely on it and it is sound.
    pub(super) async fn known_piece(&self, digest: &Digest, length: u64) -> Result<Option<Stored>> {
        match self.store.find_piece(self.run, digest).await? {
            Some((id, base)) if self.store.is_sound(&PieceRef { id, base, length }).await? => {
                self.counts.known.fetch_add(length, Ordering::Relaxed);
                Ok(Some((id, base)))
            }
            _ => Ok(None),
        }
    }

    /// Codes and stores a piece. Returns its id, and the base of the stored object.
    async fn store_piece(&self, file: &Arc<LocalFile>, surveyed: &Surveyed, bases: Vec<Chosen>) -> Result<Stored> {
        let has_base = !bases.is_empty();
        let coded = match self.code(file, surveyed, bases).await {
            // The piece is stored whole if its base turns out damaged.
            Err(error) if has_base && error.is_of_object() => self.code(file, surveyed, Vec::new()).await?,
            coded => coded?,
        };
        match self.create_piece(surveyed.digest, surveyed.length(), coded).await? {
            Some(stored) => Ok(stored),
            None => {
                let whole = self.code(file, surveyed, Vec::new()).await?;
                self.replace_piece(surveyed.digest, whole).await
            }
        }
    }

    /// Creates the object of a piece, or finds that of another writer, who may have chosen another
    /// base. `None` if what is there is damaged.
    pub(super) async fn create_piece(&self, digest: Digest, length: u64, coded: Coded) -> Result<Option<Stored>> {
        let id = self.run.object(digest);
        if self.create(&Kind::Pieces.key(&id), PutPayload::from_iter(coded.object)).await? {
            self.counts.delta.fetch_add(coded.base.map_or(0, |_| length), Ordering::Relaxed);
            return Ok(Some((id, coded.base)));
        }
        if let Some((id, base)) = self.store.find_piece(self.run, &digest).await?
            && self.store.is_sound(&PieceRef { id, base, length }).await?
        {
            return Ok(Some((id, base)));
        }
        Ok(None)
    }

    /// Replaces a damaged piece by one that is stored `whole`, since other pieces may have it as
    /// their base.
    pub(super) async fn replace_piece(&self, digest: Digest, whole: Coded) -> Result<Stored> {
        let id = self.run.object(digest);
        self.replace(&Kind::Pieces.key(&id), PutPayload::from_iter(whole.object)).await?;
        Ok((id, None))
    }

    /// Codes a piece, against one of the bases that the run may rely on.
    pub(super) async fn code(&self, file: &Arc<LocalFile>, surveyed: &Surveyed, chosen: Vec<Chosen>) -> Result<Coded> {
        let mut bases = Vec::with_capacity(chosen.len());
        for Chosen { base: id, form } in chosen {
            if self.store.is_there(self.run, &id).await? {
                bases.push(Base { id, bytes: self.store.base_unchecked(&id).await?, form });
            }
        }
        let (file, part, digest, effort) = (file.clone(), surveyed.part.clone(), surveyed.digest, self.effort);
        let coded = self.store.compute(move || {
            let bytes = file.read(part.range)?;
            let piece = Typed { dtype: part.dtype, shape: &part.shape, bytes: &bytes, digest };
            let coded = codec::encode(piece, &bases, effort).map_err(|failure| match failure {
                Failure::Changed => Error::file(file.path())(io::Error::other("the file changed while it was read")),
                Failure::Base(id) => Error::damaged(Kind::Pieces.key(&id), codec::OTHER_DIGEST),
                Failure::Codec(problem) => Error::damaged(Kind::Pieces.place(&digest), problem),
            });
            file.give_back(bytes);
            coded
        });
        coded.await
    }

    /// Stores the sketches and signatures of pieces that may serve as bases, and that the `near`
    /// files have none of.
    async fn store_hints(
        &self,
        file: &ObjectId,
        surveyed: &[Surveyed],
        parts: &[(PieceRef, bool)],
        near: &[Arc<Sheet>],
    ) -> Result<()> {
        let is_new = |piece: &PieceRef| !near.iter().any(|sheet| sheet.has(&piece.id, piece.length));
        let is_useful: Vec<bool> = parts.iter().map(|(piece, _)| piece.base.is_none() && is_new(piece)).collect();
        let useful = || surveyed.iter().enumerate().filter(|(number, _)| is_useful[*number]);
        // Sketches have the numbers of pieces, of which parts in packs have none.
        let numbers: Vec<usize> = parts
            .iter()
            .scan(0, |next, (_, is_packed)| Some(std::mem::replace(next, *next + usize::from(!is_packed))))
            .collect();
        let sketched = useful().filter(|(part, _)| !parts[*part].1);
        let sketched = sketched.filter_map(|(part, surveyed)| Some((numbers[part], surveyed.sketch.as_ref()?)));
        self.store_sketches(file, sketches::write(sketched)).await?;
        let wanted: HashSet<u64> = useful().map(|(_, part)| part.part.range.start).collect();
        let heads = search::heads(surveyed).into_iter().filter(|head| wanted.contains(&head.part.part.range.start));
        search::sign(self.store, file, heads.map(|head| head.signature)).await.map(drop)
    }

    async fn store_sketches(&self, file: &ObjectId, bytes: Vec<u8>) -> Result<()> {
        if !bytes.is_empty() {
            let key = Kind::Sketches.key(file);
            // Another writer may have stored the same sketches. Otherwise, what is there is
            // damaged.
            let stored = self.create(&key, bytes.clone()).await?;
            if !stored && self.store.backend().get(&key).await?.is_none_or(|there| !sketches::is_intact(&there)) {
                self.replace(&key, bytes).await?;
            }
        }
        Ok(())
    }

    /// The sheets of the stored files that resemble this one.
    async fn near(&self, items: &[Item], surveyed: &[Surveyed]) -> Result<Vec<Arc<Sheet>>> {
        match &self.search {
            Some(search) => search.near(items, surveyed).await,
            None => Ok(Vec::new()),
        }
    }
}

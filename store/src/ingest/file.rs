//! Adds one file: finds its pieces, looks up those that are stored, and stores the others.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bitx::distance::Sketch;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutPayload;

use super::local::{LocalFile, Source};
use super::parts::{self, Part};
use super::relatives::Chosen;
use super::signature::Signature;
use super::sketches::Sheet;
use super::{Ingest, bases, search, sketches};
use crate::codec::{self, Base, Coded, Failure, Typed};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::{Kind, ObjectId};
use crate::manifest::{FileEntry, FileManifest, Item, PieceRef};
use crate::sealed;

/// A part that was read, with its digest and sketch.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) part: Part,
    pub(super) digest: Digest,
    pub(super) sketch: Option<Sketch>,
    pub(super) signature: Option<Signature>,
}

impl Surveyed {
    pub(super) fn of(part: Part, is_tensor: bool, bytes: &[u8]) -> Self {
        let sketch = (bytes.len() as u64 >= sketches::LEAST).then(|| Sketch::of(part.dtype, bytes));
        let signature = match is_tensor {
            true => Signature::of_tensor(part.dtype, bytes),
            false => sketch.as_ref().and_then(Signature::of_bytes),
        };
        Self { digest: Digest::of(bytes), part, sketch, signature }
    }

    /// The length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.part.range.end - self.part.range.start
    }
}

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
        let (digest, surveyed) = self.survey(&file, parts, &mut items).await?;
        let id = match self.find_file(&digest).await? {
            Some(id) => {
                self.counts.known.fetch_add(file.length(), Ordering::Relaxed);
                (self.progress)(file.length());
                let pieces: Vec<PieceRef> = self.store.file(&id).await?.pieces().copied().collect();
                if pieces.len() == surveyed.len() {
                    let near = self.near(&items, &surveyed).await?;
                    self.store_hints(&id, &surveyed, &pieces, &near).await?;
                }
                id
            }
            None => self.store_file(&file, digest, items, surveyed).await?,
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
        let read = |part: Part| {
            let (file, is_tensor) = (file.clone(), is_tensor[part.item]);
            self.store.compute(move || {
                let bytes = file.read(part.range.clone())?;
                Ok::<_, Error>((Surveyed::of(part, is_tensor, &bytes), bytes))
            })
        };
        let mut several = vec![false; items.len()];
        parts.iter().for_each(|part| several[part.item] = part.number > 0);
        let mut parts = stream::iter(parts).map(read).buffered(self.store.width());
        let (mut hasher, mut tensor) = (blake3::Hasher::new(), blake3::Hasher::new());
        let mut surveyed: Vec<Surveyed> = Vec::new();
        while let Some((part, bytes)) = parts.try_next().await? {
            let (item, number) = (part.part.item, part.part.number);
            surveyed.push(part);
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
        let pieces: Vec<PieceRef> = manifest.pieces().copied().collect();
        let usable = stream::iter(pieces).map(|piece| async move { self.is_usable(&piece).await });
        let all = usable.buffer_unordered(self.store.width()).try_fold(true, |all, one| async move { Ok(all && one) });
        Ok(all.await?.then_some(id))
    }

    /// Returns `true` if the run may rely on a piece and on its base, and both are sound.
    async fn is_usable(&self, piece: &PieceRef) -> Result<bool> {
        let condemned = |id: &ObjectId| self.run.is_condemned(&Kind::Pieces.key(id));
        Ok(!condemned(&piece.id) && !piece.base.as_ref().is_some_and(condemned) && self.store.is_sound(piece).await?)
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
        let surveyed = self.recut(file, &mut items, surveyed, &near).await?;
        let mut bases = bases::choose(&near, &items, &surveyed);
        self.look_within(file, &surveyed, &near, &mut bases).await?;
        let pieces = surveyed.iter().zip(bases).map(|(surveyed, base)| self.piece(file, surveyed, base));
        let pieces: Vec<PieceRef> = stream::iter(pieces).buffered(self.store.width()).try_collect().await?;
        for (surveyed, piece) in surveyed.iter().zip(&pieces) {
            items[surveyed.part.item].pieces.push(*piece);
        }
        let id = self.run.object(digest);
        self.store_hints(&id, &surveyed, &pieces, &near).await?;
        let key = Kind::Files.key(&id);
        let bytes = sealed::json(&key, &FileManifest::new(items))?;
        // Another writer may have stored the file first. Otherwise, what is there is damaged.
        if !self.create(&key, bytes.clone()).await? && self.find_file(&digest).await? != Some(id) {
            self.replace(&key, bytes).await?;
        }
        Ok(id)
    }

    /// Stores the piece of a part, unless it is stored already.
    async fn piece(&self, file: &Arc<LocalFile>, surveyed: &Surveyed, base: Option<Chosen>) -> Result<PieceRef> {
        let (digest, length) = (surveyed.digest, surveyed.length());
        let (id, base) = match self.store.find_piece(self.run, &digest).await? {
            Some((id, base)) if self.store.is_sound(&PieceRef { id, base, length }).await? => {
                self.counts.known.fetch_add(length, Ordering::Relaxed);
                (id, base)
            }
            _ => self.store_piece(file, surveyed, base).await?,
        };
        (self.progress)(length);
        Ok(PieceRef { id, base, length })
    }

    /// Codes and stores a piece. Returns its id, and the base of the stored object.
    async fn store_piece(
        &self,
        file: &Arc<LocalFile>,
        surveyed: &Surveyed,
        base: Option<Chosen>,
    ) -> Result<(ObjectId, Option<ObjectId>)> {
        let (length, has_base) = (surveyed.length(), base.is_some());
        let coded = match self.code(file, surveyed, base).await {
            // The piece is stored whole if its base turns out damaged.
            Err(error) if has_base && error.is_of_object() => self.code(file, surveyed, None).await?,
            coded => coded?,
        };
        let id = self.run.object(surveyed.digest);
        let key = Kind::Pieces.key(&id);
        if self.create(&key, PutPayload::from_iter(coded.object)).await? {
            self.counts.delta.fetch_add(coded.base.map_or(0, |_| length), Ordering::Relaxed);
            return Ok((id, coded.base));
        }
        // Another writer has stored the piece first, and may have chosen another base.
        if let Some((id, base)) = self.store.find_piece(self.run, &surveyed.digest).await?
            && self.store.is_sound(&PieceRef { id, base, length }).await?
        {
            return Ok((id, base));
        }
        // What is there is damaged. It is replaced by the whole piece, since other pieces may have it
        // as their base.
        let whole = self.code(file, surveyed, None).await?;
        self.replace(&key, PutPayload::from_iter(whole.object)).await?;
        Ok((id, None))
    }

    /// Codes a piece, against a base if there is one that the run may rely on.
    async fn code(&self, file: &Arc<LocalFile>, surveyed: &Surveyed, base: Option<Chosen>) -> Result<Coded> {
        let base = match base {
            Some(Chosen { base: id, form }) if self.store.is_there(self.run, &id).await? => {
                Some(Base { id, bytes: self.store.base_unchecked(&id).await?, form })
            }
            _ => None,
        };
        let (file, part, digest, effort) = (file.clone(), surveyed.part.clone(), surveyed.digest, self.effort);
        let coded = self.store.compute(move || {
            let bytes = file.read(part.range)?;
            let piece = Typed { dtype: part.dtype, shape: &part.shape, bytes: &bytes, digest };
            let coded = codec::encode(piece, base, effort).map_err(|failure| match failure {
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
        pieces: &[PieceRef],
        near: &[Arc<Sheet>],
    ) -> Result<()> {
        let is_new = |piece: &PieceRef| !near.iter().any(|sheet| sheet.has(&piece.id, piece.length));
        let is_useful: Vec<bool> = pieces.iter().map(|piece| piece.base.is_none() && is_new(piece)).collect();
        let useful = || surveyed.iter().enumerate().filter(|(number, _)| is_useful[*number]);
        let sketched = useful().filter_map(|(number, part)| Some((number, part.sketch.as_ref()?)));
        self.store_sketches(file, sketches::write(sketched)).await?;
        let wanted: HashSet<u64> = useful().map(|(_, part)| part.part.range.start).collect();
        let heads = search::heads(surveyed).into_iter().filter(|part| wanted.contains(&part.part.range.start));
        search::sign(self.store, file, heads.filter_map(|part| part.signature)).await.map(drop)
    }

    async fn store_sketches(&self, file: &ObjectId, bytes: Vec<u8>) -> Result<()> {
        if !bytes.is_empty() {
            let key = Kind::Sketches.key(file);
            // Another writer may have stored the same sketches. Otherwise, what is there is damaged.
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

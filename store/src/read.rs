//! Reads files and tensors. Several pieces are decoded and checked at a time, and delivered in
//! order.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bitx_host::WholeFile;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::io::AsyncWriteExt;

use crate::ahead::{Ahead, Runs};
use crate::codec;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::kept;
use crate::keys::{Kind, ObjectId};
use crate::manifest::{FileEntry, FileManifest, Model, PieceRef};
use crate::store::Store;

impl Store {
    /// Reads a piece and checks its digest.
    ///
    /// # Errors
    /// `Damaged`, if the piece or its base is missing or does not match its digest.
    pub async fn piece(&self, piece: &PieceRef) -> Result<Bytes> {
        let key = Kind::Pieces.key(&piece.id);
        let object = self.object(&key).await?;
        let base = match (codec::base_of(&object).map_err(|problem| Error::damaged(&key, problem))?, piece.base) {
            // A repaired piece is stored whole, whatever base its files name.
            (None, _) => None,
            (Some(base), named) if named == Some(base) => Some(self.base(&key, &object, &base).await?),
            (Some(base), _) => {
                let problem = format!("the object is a delta against {base}, but its file names another base");
                return Err(Error::damaged(key, problem));
            }
        };
        let bytes = self.decode(&piece.id, object, base, true).await?;
        if bytes.len() as u64 != piece.length {
            let problem = format!("the piece has {} bytes, but its file states {}", bytes.len(), piece.length);
            return Err(Error::damaged(Kind::Pieces.key(&piece.id), problem));
        }
        Ok(bytes)
    }

    /// Reads the content of a piece, with whatever base the object names, and checks its digest.
    ///
    /// # Errors
    /// `Damaged`.
    pub(crate) async fn content(&self, id: &ObjectId) -> Result<Bytes> {
        let key = Kind::Pieces.key(id);
        let object = self.object(&key).await?;
        let base = match codec::base_of(&object).map_err(|problem| Error::damaged(&key, problem))? {
            Some(base) => Some(self.base(&key, &object, &base).await?),
            None => None,
        };
        self.decode(id, object, base, true).await
    }

    /// Reads the base of an object, which is the piece `id` or a part of the run that begins with
    /// it, and checks digests.
    async fn base(&self, key: &str, object: &Bytes, id: &ObjectId) -> Result<Bytes> {
        match codec::run_of(object).map_err(|problem| Error::damaged(key, problem))? {
            Some((run, _)) => self.gathered(&run, key).await,
            None => self.decoded(id, None, true).await,
        }
    }

    /// Reads what is taken of a run of pieces, whose digests are checked, for the object `key`. One
    /// piece is in memory at a time, beside those that are kept for the next run.
    pub(crate) async fn gathered(&self, run: &codec::Run, key: &str) -> Result<Bytes> {
        let mut gathered = codec::Gathered::new(run.part);
        for id in &run.pieces {
            let piece = PieceRef { id: *id, base: None, length: 0 };
            let bytes = self.kept_runs().get(&piece, self.decoded(id, None, true)).await?;
            let added = self.compute(move || gathered.add(&bytes).map(|()| gathered)).await;
            gathered = added.map_err(|problem| Error::damaged(key, problem))?;
        }
        gathered.finish().map_err(|problem| Error::damaged(key, problem))
    }

    /// Reads a base, which is a piece that is not stored as a delta, without checking its digest.
    /// The caller must do that.
    pub(crate) async fn base_unchecked(&self, id: &ObjectId) -> Result<Bytes> {
        self.decoded(id, None, false).await
    }

    async fn decoded(&self, id: &ObjectId, base: Option<Bytes>, check: bool) -> Result<Bytes> {
        let object = self.object(&Kind::Pieces.key(id)).await?;
        self.decode(id, object, base, check).await
    }

    async fn decode(&self, id: &ObjectId, object: Bytes, base: Option<Bytes>, check: bool) -> Result<Bytes> {
        let (key, digest) = (Kind::Pieces.key(id), id.digest);
        let decoded = self.compute(move || {
            let bytes = codec::decode(&object, base)?;
            if check && Digest::of(&bytes) != digest {
                return Err(codec::OTHER_DIGEST.to_owned());
            }
            Ok(bytes)
        });
        decoded.await.map_err(|problem| Error::damaged(key, problem))
    }

    /// Streams the bytes in `range` of a file, in order. Each part comes from a piece whose digest
    /// has been checked. Parts of one piece that follow one another are read at once.
    pub fn read<'a>(
        &'a self,
        file: &'a FileManifest,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
        let all = joined(file.within(range));
        let ahead = Arc::new(Ahead::of(&all));
        let read = move |(number, runs): (usize, Runs)| {
            let ahead = ahead.clone();
            async move { Ok(stream::iter(self.runs(number, runs, &ahead).await?.into_iter().map(Ok))) }
        };
        stream::iter(all.into_iter().enumerate()).map(read).buffered(self.width()).try_flatten()
    }

    /// Reads the runs of this number, of those that a reader is ahead of.
    async fn runs(&self, number: usize, (piece, runs): Runs, ahead: &Ahead) -> Result<Vec<Bytes>> {
        if let Some(kept) = ahead.take(number) {
            return Ok(kept);
        }
        let is_whole = runs.first().is_some_and(|run| run.len() as u64 == piece.length);
        let bytes = if is_whole { self.piece(&piece).await? } else { self.kept_piece(&piece).await? };
        ahead.keep(number, &piece, &bytes);
        Ok(runs.into_iter().map(|run| bytes.slice(run)).collect())
    }

    /// Reads a piece as [`piece`](Self::piece) does. The last few pieces that are no longer than a
    /// pack are kept in memory, for the other tensors in them.
    ///
    /// # Errors
    /// Those of [`piece`](Self::piece).
    pub async fn kept_piece(&self, piece: &PieceRef) -> Result<Bytes> {
        match piece.length {
            ..=kept::LONGEST => self.kept().get(piece, self.piece(piece)).await,
            _ => self.piece(piece).await,
        }
    }

    /// Reads one tensor of a file, and only the pieces that it needs. `None` if the file has no
    /// tensor of that name.
    ///
    /// # Errors
    /// `Damaged`; those of the storage.
    pub async fn tensor(&self, file: &FileEntry, name: &str) -> Result<Option<Vec<u8>>> {
        let manifest = self.file(&file.id).await?;
        let Some((item, offset)) = manifest.tensor(name) else { return Ok(None) };
        let parts = self.read(&manifest, offset..offset + item.length());
        let bytes = parts.try_fold(Vec::new(), |mut all, part| async move {
            all.extend_from_slice(&part);
            Ok(all)
        });
        bytes.await.map(Some)
    }

    /// Restores a file by passing its parts to `write` in order, and checks the digest of the whole
    /// file at the end.
    ///
    /// # Errors
    /// `Damaged`, after which the caller must discard the output; those of `write`.
    pub async fn restore<W, F>(&self, file: &FileEntry, mut write: W) -> Result<()>
    where
        W: FnMut(Bytes) -> F,
        F: Future<Output = Result<()>>,
    {
        let manifest = self.file(&file.id).await?;
        let mut hasher = blake3::Hasher::new();
        // A check must not miss what has been damaged since a pack was read.
        let fresh = self.with_none_kept();
        let mut parts = std::pin::pin!(fresh.read(&manifest, 0..manifest.length));
        while let Some(part) = parts.try_next().await? {
            hasher.update(&part);
            write(part).await?;
        }
        if Digest::from(hasher.finalize()) == file.id.digest && manifest.length == file.length {
            return Ok(());
        }
        let problem = format!("the restored {} does not match its digest or length", file.path);
        Err(Error::damaged(Kind::Files.key(&file.id), problem))
    }

    /// Restores all files of `model` into `folder`. Each file appears when it is complete and
    /// checked. `progress` receives the number of bytes of each part that was written.
    ///
    /// # Errors
    /// Those of [`restore`](Self::restore); files that cannot be written.
    pub async fn get(&self, model: &Model, folder: &Path, progress: &(dyn Fn(u64) + Sync)) -> Result<()> {
        for file in &model.files {
            let path = folder.join(&file.path);
            tokio::fs::create_dir_all(folder).await.map_err(Error::file(folder))?;
            make_folders(folder, &file.path).await?;
            self.get_file(file, &path, progress).await?;
        }
        Ok(())
    }

    async fn get_file(&self, file: &FileEntry, path: &Path, progress: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let temporary = WholeFile::create(path).map_err(Error::file(path))?;
        let handle = temporary.handle().map_err(Error::file(path))?;
        let output = tokio::sync::Mutex::new(tokio::fs::File::from_std(handle));
        let write = |part: Bytes| {
            let output = &output;
            async move {
                output.lock().await.write_all(&part).await.map_err(Error::file(path))?;
                progress(part.len() as u64);
                Ok(())
            }
        };
        self.restore(file, write).await?;
        output.into_inner().flush().await.map_err(Error::file(path))?;
        let publish = tokio::task::spawn_blocking(move || temporary.publish(true, true));
        publish.await.map_err(std::io::Error::other).flatten().map_err(Error::file(path))
    }
}

/// Runs of bytes in pieces, of which those that follow one another in one piece are joined.
fn joined(runs: impl Iterator<Item = (usize, PieceRef, Range<usize>)>) -> Vec<Runs> {
    let mut joined: Vec<Runs> = Vec::new();
    for (_, piece, run) in runs {
        match joined.last_mut() {
            Some((last, parts)) if *last == piece => match parts.last_mut() {
                Some(part) if part.end == run.start => part.end = run.end,
                _ => parts.push(run),
            },
            _ => joined.push((piece, vec![run])),
        }
    }
    joined
}

/// Makes the folders of a file in `folder`. A link among them is not followed, since it may lead
/// out of the folder.
async fn make_folders(folder: &Path, path: &str) -> Result<()> {
    for (at, _) in path.match_indices('/') {
        let parent = folder.join(&path[..at]);
        match tokio::fs::create_dir(&parent).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let there = tokio::fs::symlink_metadata(&parent).await.map_err(Error::file(&parent))?;
                if !there.is_dir() {
                    let error = io::Error::new(io::ErrorKind::NotADirectory, "a folder is to be here");
                    return Err(Error::file(&parent)(error));
                }
            }
            made => made.map_err(Error::file(&parent))?,
        }
    }
    Ok(())
}

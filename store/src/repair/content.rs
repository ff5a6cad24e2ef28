//! The repair of files and pieces from other copies of their content: under another epoch, in
//! another store, or in the file that was once added.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use bitx::Effort;
use bitx::layout::Dtype;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::PutPayload;
use tokio::io::AsyncWriteExt;

use super::Copies;
use crate::codec::{self, MOST_PIECES, Packed, Segment, Typed};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ingest::{Copy, Ingest, Source, ranges, shape};
use crate::keys::{Kind, ObjectId};
use crate::manifest::{FileEntry, FileManifest, MOST_SOURCES, PieceRef};
use crate::run::Run;
use crate::store::Store;

/// A piece of a file, with what is needed to make it again.
struct Wanted<'a> {
    piece: &'a PieceRef,
    /// The digest of the file, and the ranges of the piece's bytes in it.
    file: &'a Digest,
    ranges: Vec<Range<u64>>,
    form: Form,
}

/// The content of a piece: a tensor of this dtype and shape, or the segments of a pack.
enum Form {
    Tensor(Dtype, Vec<u64>),
    Pack(Vec<Segment>),
}

/// The pieces of a file itself, with what is needed to make them again. `digest` is that of the
/// file.
fn wanted<'a>(manifest: &'a FileManifest, digest: &'a Digest) -> impl Iterator<Item = Wanted<'a>> {
    let (mut all, mut offset) = (Vec::new(), 0);
    for item in &manifest.items {
        let mut start = offset;
        offset += item.length();
        for piece in &item.pieces {
            let ranges = std::iter::once(start..start + piece.length).collect();
            start += piece.length;
            let form = Form::Tensor(item.dtype, shape(item, piece.length));
            all.push(Wanted { piece, file: digest, ranges, form });
        }
    }
    let mut places = manifest.packed().peekable();
    for (number, piece) in manifest.packs.iter().enumerate() {
        let (mut within, mut segments) = (Vec::new(), Vec::new());
        while let Some(place) = places.next_if(|place| place.pack == number) {
            let length = place.item.length();
            within.push(place.offset..place.offset + length);
            Segment { dtype: Segment::word(place.item.dtype), length, base: None }.append(&mut segments);
        }
        let (ranges, form) = (ranges(within.into_iter()), Form::Pack(segments));
        all.push(Wanted { piece, file: digest, ranges, form });
    }
    all.into_iter()
}

/// The maximum number of objects that a piece needs: itself, and its base or the pieces of a run.
const OBJECTS: usize = 1 + MOST_PIECES;

/// A repair of files.
pub(super) struct Mender<'a> {
    store: &'a Store,
    run: &'a Run,
    other: Option<&'a Store>,
    ingest: Ingest<'a>,
    /// The local files by their digests.
    files: HashMap<Digest, &'a Source>,
    /// The parts of local files by their digests.
    parts: HashMap<Digest, Arc<Copy>>,
}

impl<'a> Mender<'a> {
    /// Reads the local files once, for the digests of their parts.
    pub(super) async fn open(store: &'a Store, run: &'a Run, copies: Copies<'a>) -> Result<Self> {
        let ingest = Ingest::of(store, run, Effort::Default, &|_| {});
        let (mut files, mut parts) = (HashMap::new(), HashMap::new());
        for source in copies.files {
            let (digest, copies) = ingest.copies(source).await?;
            files.insert(digest, source);
            parts.extend(copies.into_iter().map(|copy| (copy.digest, Arc::new(copy))));
        }
        Ok(Self { store, run, other: copies.store, ingest, files, parts })
    }

    /// Repairs a file as far as there is content for it. `is_manifest` is set if its manifest is to
    /// be replaced even if it can be read.
    pub(super) async fn file(&self, file: &FileEntry, is_manifest: bool) -> Result<()> {
        self.sources(&file.id).await?;
        let manifest = match self.store.file(&file.id).await {
            Ok(manifest) if !is_manifest => Some(manifest),
            Ok(_) => None,
            Err(error) if error.is_of_object() => None,
            Err(error) => return Err(error),
        };
        let manifest = match manifest {
            Some(manifest) => manifest,
            None => match self.manifest(&file.id).await? {
                Some(manifest) => manifest,
                None => return Ok(()),
            },
        };
        for wanted in wanted(&manifest, &file.id.digest) {
            self.piece(&wanted).await?;
        }
        if manifest.taken().is_empty() {
            return Ok(());
        }
        let taken: HashSet<&PieceRef> = manifest.taken().iter().collect();
        for source in &manifest.needs {
            let of = self.store.file(source).await?;
            for wanted in wanted(&of, &source.digest).filter(|wanted| taken.contains(wanted.piece)) {
                self.piece(&wanted).await?;
            }
        }
        // Without the files that it is an excerpt of, the file is stored as one of its own.
        for piece in manifest.taken() {
            if !self.store.is_sound(piece).await? {
                return self.manifest(&file.id).await.map(drop);
            }
        }
        Ok(())
    }

    /// Replaces the manifests that a file needs and that are damaged or missing.
    async fn sources(&self, file: &ObjectId) -> Result<()> {
        for _ in 0..MOST_SOURCES {
            match self.store.file(file).await {
                Err(Error::Damaged { key, .. }) => match Kind::Files.parse(&key).filter(|id| id != file) {
                    Some(source) if self.manifest(&source).await?.is_some() => {}
                    _ => return Ok(()),
                },
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Replaces the manifest of a file by a copy, or by a new one after the file was added again.
    async fn manifest(&self, file: &ObjectId) -> Result<Option<FileManifest>> {
        let key = Kind::Files.key(file);
        if self.run.is_condemned(&key) {
            return Ok(None);
        }
        let mut ids = self.store.ids(Kind::Files, &file.digest).await?;
        ids.retain(|id| id != file && !self.run.is_condemned(&Kind::Files.key(id)));
        for id in ids {
            if let Some(manifest) = self.copied(&id, file).await? {
                return Ok(Some(manifest));
            }
        }
        let Some(id) = self.added(file).await? else { return Ok(None) };
        if id == *file { self.store.file(file).await.map(Some) } else { self.copied(&id, file).await }
    }

    /// Copies the manifest `id` to the place of the manifest `file`, if it is intact.
    async fn copied(&self, id: &ObjectId, file: &ObjectId) -> Result<Option<FileManifest>> {
        match self.store.file(id).await {
            Err(error) if error.is_of_object() => return Ok(None),
            manifest => drop(manifest?),
        }
        let bytes = self.store.object(&Kind::Files.key(id)).await?;
        self.store.backend().put(&Kind::Files.key(file), bytes).await?;
        self.store.file(file).await.map(Some)
    }

    /// Adds the content of a file again, from a local file or from the other store.
    async fn added(&self, file: &ObjectId) -> Result<Option<ObjectId>> {
        if let Some(source) = self.files.get(&file.digest) {
            return self.ingest.file(source).await.map(|entry| Some(entry.id));
        }
        let Some(other) = self.other else { return Ok(None) };
        let folder = tempfile::tempdir().map_err(Error::file(std::env::temp_dir()))?;
        let path = folder.path().join("file");
        for id in other.ids(Kind::Files, &file.digest).await? {
            if restored(other, id, &path).await? {
                let source = Source { path: id.to_string(), file: path };
                return self.ingest.file(&source).await.map(|entry| Some(entry.id));
            }
        }
        Ok(None)
    }

    /// Replaces the objects that a piece needs and that are damaged or missing.
    async fn piece(&self, wanted: &Wanted<'_>) -> Result<()> {
        for _ in 0..OBJECTS {
            // What is kept may have been damaged since it was read.
            let key = match self.store.with_none_kept().piece(wanted.piece).await {
                Err(Error::Damaged { key, .. }) => key,
                Err(error) if error.is_of_object() => return Ok(()),
                read => return read.map(drop),
            };
            let Some(id) = Kind::Pieces.parse(&key).filter(|_| !self.run.is_condemned(&key)) else { return Ok(()) };
            let Some(bytes) = self.content(&id.digest, wanted).await? else { return Ok(()) };
            let object = self.coded(bytes, id.digest, &wanted.form).await?;
            self.store.backend().put(&key, object).await?;
        }
        Ok(())
    }

    /// The content of a piece, from any copy of it, or of the file at the place of the wanted one.
    async fn content(&self, digest: &Digest, wanted: &Wanted<'_>) -> Result<Option<Bytes>> {
        for store in [Some(self.store), self.other].into_iter().flatten() {
            for id in store.ids(Kind::Pieces, digest).await? {
                match store.content(&id).await {
                    Err(error) if error.is_of_object() => {}
                    content => return content.map(Some),
                }
            }
        }
        if let Some(copy) = self.parts.get(digest).cloned() {
            return self.store.compute(move || copy.read()).await;
        }
        // The parts of a file depend on what was stored before it, so a copy may have other ones.
        match (self.files.get(wanted.file), self.other) {
            (Some(source), _) => self.ingest.excerpt(source, wanted.ranges.clone(), *digest).await,
            (None, Some(other)) => excerpt(other, wanted.file, &wanted.ranges, digest).await,
            (None, None) => Ok(None),
        }
    }

    /// The object of a piece that is stored whole.
    async fn coded(&self, bytes: Bytes, digest: Digest, form: &Form) -> Result<PutPayload> {
        // The base of a piece may have another shape than the piece.
        let length = bytes.len() as u64;
        let (dtype, shape, segments) = match form {
            Form::Tensor(dtype, shape) if dtype.tensor_bytes(shape) == Some(length) => (*dtype, shape.clone(), None),
            Form::Pack(segments) if segments.iter().map(|segment| segment.length).sum::<u64>() == length => {
                (Dtype::U8, vec![length], Some(segments.clone()))
            }
            _ => (Dtype::U8, vec![length], None),
        };
        let coded = self.store.compute(move || match segments {
            Some(segments) => {
                let pack = Packed { bytes: &bytes, digest, segments: &segments };
                codec::encode_pack(pack, None, Effort::Default)
            }
            None => codec::encode(Typed { dtype, shape: &shape, bytes: &bytes, digest }, &[], Effort::Default),
        });
        let coded = coded.await.map_err(|_| Error::damaged(Kind::Pieces.place(&digest), codec::OTHER_DIGEST))?;
        Ok(PutPayload::from_iter(coded.object))
    }
}

/// The bytes in `ranges` of a file of the other store, if they are there and have this digest.
async fn excerpt(other: &Store, file: &Digest, ranges: &[Range<u64>], digest: &Digest) -> Result<Option<Bytes>> {
    for id in other.ids(Kind::Files, file).await? {
        let read = async {
            let manifest = other.file(&id).await?;
            let mut bytes = BytesMut::new();
            for range in ranges {
                let mut parts = std::pin::pin!(other.read(&manifest, range.clone()));
                while let Some(part) = parts.try_next().await? {
                    bytes.extend_from_slice(&part);
                }
            }
            Ok::<_, Error>(bytes)
        };
        match read.await {
            Ok(bytes) if Digest::of(&bytes) == *digest => return Ok(Some(bytes.freeze())),
            Err(error) if !error.is_of_object() => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Restores a file of the other store to `path`. Returns `false` if it is damaged there.
async fn restored(other: &Store, id: ObjectId, path: &std::path::Path) -> Result<bool> {
    let length = match other.file(&id).await {
        Err(error) if error.is_of_object() => return Ok(false),
        manifest => manifest?.length,
    };
    let file = FileEntry { path: id.to_string(), length, id };
    let output = tokio::sync::Mutex::new(tokio::fs::File::create(path).await.map_err(Error::file(path))?);
    let write = |part: Bytes| {
        let output = &output;
        async move { output.lock().await.write_all(&part).await.map_err(Error::file(path)) }
    };
    match other.restore(&file, write).await {
        Err(error) if error.is_of_object() => return Ok(false),
        restored => restored?,
    }
    output.into_inner().flush().await.map_err(Error::file(path))?;
    Ok(true)
}

//! The relations between published files: their tensors, and the pieces that they or their bases
//! share.
//!
//! A server keeps [`Relations`] in memory and [refreshes](Relations::refresh) them, which reads
//! only the manifests that are new.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use futures::{StreamExt, stream};

use crate::backend::REQUESTS;
use crate::digest::Digest;
use crate::error::Result;
use crate::keys::{MODELS, ObjectId};
use crate::manifest::{FileEntry, FileManifest, Model, ModelName};
use crate::store::Store;

/// The share of a file, as a divisor, that another file must have in common to be a useful base:
/// one eighth.
const LEAST: u64 = 8;

/// The published models and the contents of their files, as of one listing.
#[derive(Debug, Clone, Default)]
pub struct Relations {
    /// The models by key. Tombstones and damaged manifests are `None`, so that they are not read
    /// again.
    published: BTreeMap<String, Option<Arc<Model>>>,
    models: BTreeMap<ModelName, Arc<Model>>,
    facts: HashMap<ObjectId, Arc<Facts>>,
}

/// A tensor that a client has, as it announces it before an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced<'a> {
    /// The name of the tensor.
    pub name: &'a str,
    /// The name of its dtype.
    pub dtype: &'a str,
    /// The extents, outermost first.
    pub shape: &'a [u64],
    /// The length in bytes.
    pub length: u64,
    /// The BLAKE3 digest of its bytes.
    pub digest: Digest,
}

/// A stored file that has something in common with another file, to which it could be the base.
///
/// [`Relations::relatives`] and [`Relations::bases`] count `equal` and `alike` in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Related<'a> {
    /// A model that has the file.
    pub model: &'a ModelName,
    /// The stored file.
    pub file: &'a FileEntry,
    /// The bytes of the other file that are equal in this file, or are deltas against the same
    /// pieces.
    pub equal: u64,
    /// The bytes of the other file that have a likely counterpart in this file: a base that is
    /// stored here, or a tensor of the same name, dtype and shape.
    pub alike: u64,
}

/// The contents of a file, as far as they matter for relations.
#[derive(Debug)]
struct Facts {
    /// The root and the length of each piece. The root of a delta is its base; any other piece is
    /// its own root.
    roots: Vec<(Digest, u64)>,
    /// The pieces that are not stored as deltas.
    whole: HashSet<Digest>,
    /// The digests of the tensors.
    tensors: HashSet<Digest>,
    /// The hashes of the tensors' names, dtypes and shapes.
    signatures: HashSet<u64>,
}

impl Relations {
    /// Returns the relations as they are now. Manifests that are already known are not read again.
    /// Damaged models and files are left out and logged.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn refresh(&self, store: &Store) -> Result<Self> {
        let keys = store.backend().list(MODELS).await?.into_iter().map(|listed| listed.key);
        let known = |key: String| async move {
            match self.published.get(&key) {
                Some(known) => Ok((key, known.clone())),
                None => load(store, key).await,
            }
        };
        let mut new = Self::default();
        let mut published = stream::iter(keys).map(known).buffer_unordered(REQUESTS);
        while let Some(published) = published.next().await {
            new.published.extend([published?]);
        }
        // The ids of runs are ordered by time, so that later models replace earlier ones.
        let latest = new.published.values().flatten().map(|model| (model.name.clone(), model.clone()));
        new.models = latest.collect();
        let ids: HashSet<ObjectId> = new.models.values().flat_map(|m| m.files.iter().map(|file| file.id)).collect();
        let facts = stream::iter(ids).map(|id| async move { (id, self.facts(store, id).await) });
        let mut facts = facts.buffer_unordered(REQUESTS);
        while let Some((id, found)) = facts.next().await {
            new.facts.extend(found.map(|found| (id, found)));
        }
        Ok(new)
    }

    async fn facts(&self, store: &Store, id: ObjectId) -> Option<Arc<Facts>> {
        if let Some(known) = self.facts.get(&id) {
            return Some(known.clone());
        }
        match store.file(&id).await {
            Ok(manifest) => Some(Arc::new(Facts::of(&manifest))),
            Err(error) => {
                tracing::warn!(%error, "a damaged file is left out of the relations");
                None
            }
        }
    }

    /// All models, ordered by name.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values().map(|model| &**model)
    }

    /// A file with this digest, in a model for which `visible` returns `true`.
    pub fn file(&self, digest: &Digest, visible: impl Fn(&ModelName) -> bool) -> Option<(&ModelName, &FileEntry)> {
        self.files(visible).into_iter().find(|(_, file)| file.id.digest == *digest)
    }

    /// The files of all models for which `visible` returns `true`, each content once.
    fn files(&self, visible: impl Fn(&ModelName) -> bool) -> Vec<(&ModelName, &FileEntry)> {
        let mut seen = HashSet::new();
        let models = self.models().filter(|model| visible(&model.name));
        let files = models.flat_map(|model| model.files.iter().map(|file| (&model.name, file)));
        files.filter(|(_, file)| seen.insert(file.id.digest)).collect()
    }

    /// The files against which a delta of the stored `file` is small, best first: those that share
    /// pieces with it, or are deltas against the same pieces. `equal` counts the bytes for which
    /// this is so, and `alike` those of them whose piece is not stored as a delta there.
    pub fn relatives(&self, file: &FileEntry, visible: impl Fn(&ModelName) -> bool) -> Vec<Related<'_>> {
        let Some(own) = self.facts.get(&file.id) else { return Vec::new() };
        let others = self.files(visible).into_iter().filter(|(_, other)| other.id.digest != file.id.digest);
        let related = others.filter_map(|(model, other)| {
            let facts = self.facts.get(&other.id)?;
            let roots: HashSet<&Digest> = facts.roots.iter().map(|(root, _)| root).collect();
            let bytes = |holds: &dyn Fn(&Digest) -> bool| -> u64 {
                own.roots.iter().filter(|(root, _)| holds(root)).map(|(_, length)| length).sum()
            };
            let equal = bytes(&|root| roots.contains(root));
            let serves = equal >= file.length / LEAST;
            serves.then(|| Related { model, file: other, equal, alike: bytes(&|root| facts.whole.contains(root)) })
        });
        sorted(related)
    }

    /// The files that may serve as the base of a new file with these tensors, best first. `equal`
    /// counts the bytes of tensors with the same digest, and `alike` those with the same name,
    /// dtype and shape.
    pub fn bases(&self, tensors: &[Announced<'_>], visible: impl Fn(&ModelName) -> bool) -> Vec<Related<'_>> {
        let signed: Vec<u64> = tensors.iter().map(|t| signature(Some(t.name), t.dtype, t.shape)).collect();
        let related = self.files(visible).into_iter().filter_map(|(model, file)| {
            let facts = self.facts.get(&file.id)?;
            let (mut equal, mut alike) = (0u64, 0u64);
            for (tensor, signature) in tensors.iter().zip(&signed) {
                equal += if facts.tensors.contains(&tensor.digest) { tensor.length } else { 0 };
                alike += if facts.signatures.contains(signature) { tensor.length } else { 0 };
            }
            Some(Related { model, file, equal, alike })
        });
        sorted(related)
    }

    /// Returns for each of these tensors if it is stored, in a file of a model for which `visible`
    /// returns `true`.
    pub fn stored(&self, tensors: &[Announced<'_>], visible: impl Fn(&ModelName) -> bool) -> Vec<bool> {
        let files = self.files(visible);
        let facts: Vec<&Arc<Facts>> = files.iter().filter_map(|(_, file)| self.facts.get(&file.id)).collect();
        tensors.iter().map(|tensor| facts.iter().any(|facts| facts.tensors.contains(&tensor.digest))).collect()
    }
}

fn sorted<'a>(related: impl Iterator<Item = Related<'a>>) -> Vec<Related<'a>> {
    let mut related: Vec<_> = related.filter(|related| related.equal > 0 || related.alike > 0).collect();
    // The sort is stable, so equally good files stay in the order of their models' names.
    related.sort_by_key(|related| std::cmp::Reverse((related.equal, related.alike)));
    related
}

/// Reads the model under `key`. Tombstones and damaged manifests are `None`.
async fn load(store: &Store, key: String) -> Result<(String, Option<Arc<Model>>)> {
    match store.published(&key).await {
        Ok(model) => Ok((key, model.map(Arc::new))),
        Err(error @ (crate::Error::Damaged { .. } | crate::Error::Unsupported(_))) => {
            tracing::warn!(%error, "a damaged model is left out of the relations");
            Ok((key, None))
        }
        Err(error) => Err(error),
    }
}

impl Facts {
    fn of(manifest: &FileManifest) -> Self {
        let root = |piece: &crate::PieceRef| (piece.base.unwrap_or(piece.id).digest, piece.length);
        let whole = manifest.pieces().filter(|piece| piece.base.is_none()).map(|piece| piece.id.digest);
        let named = manifest.items.iter().filter(|item| item.name.is_some());
        let signed = named.clone().map(|item| signature(item.name.as_deref(), item.dtype.name(), &item.shape));
        Self {
            roots: manifest.pieces().map(root).collect(),
            whole: whole.collect(),
            tensors: named.filter_map(|item| item.digest()).collect(),
            signatures: signed.collect(),
        }
    }
}

/// The hash of a tensor's name, dtype and shape.
fn signature(name: Option<&str>, dtype: &str, shape: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, dtype, shape).hash(&mut hasher);
    hasher.finish()
}

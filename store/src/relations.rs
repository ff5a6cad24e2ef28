//! What is published, by content: which files there are, which tensors they hold, and which are deltas of the same
//! pieces. Kept in memory by those who are asked often, and brought up to date by what is new.

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

/// Files that share less than this part of a file do not make a delta of it small.
const LEAST: u64 = 8;

/// The published models and what their files have in common, as of one listing.
#[derive(Debug, Clone, Default)]
pub struct Relations {
    /// By key, tombstones and what does not parse as none.
    published: BTreeMap<String, Option<Arc<Model>>>,
    models: BTreeMap<ModelName, Arc<Model>>,
    facts: HashMap<ObjectId, Arc<Facts>>,
}

/// A tensor, as somebody announces it who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element type, by name.
    pub dtype: &'a str,
    /// Extents, outermost first.
    pub shape: &'a [u64],
    /// Bytes.
    pub length: u64,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
}

/// A stored file that shares something with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Related<'a> {
    /// A model that has it.
    pub model: &'a ModelName,
    /// The file.
    pub file: &'a FileEntry,
    /// Bytes of the other file that are the same here, or that both are deltas of.
    pub equal: u64,
    /// Bytes of the other file whose tensors have the same name, dtype and shape here.
    pub alike: u64,
}

/// What there is to know of a file.
#[derive(Debug)]
struct Facts {
    /// Of each piece the one that is stored whole: itself, or its base; and its own length.
    roots: Vec<(Digest, u64)>,
    whole: HashSet<Digest>,
    tensors: HashSet<Digest>,
    signatures: HashSet<u64>,
}

impl Relations {
    /// What is published now; of what was known before, nothing is read again. What is damaged is left out, and logged.
    ///
    /// # Errors
    /// Anything that cannot be listed, or read at all.
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
        // Runs are numbered in the order of time, so that later ones replace earlier ones.
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
                tracing::warn!(%error, "a file is left out of what is known");
                None
            }
        }
    }

    /// All models, by name.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values().map(|model| &**model)
    }

    /// A file of that digest, in a model that `visible` lets one see.
    pub fn file(&self, digest: &Digest, visible: impl Fn(&ModelName) -> bool) -> Option<(&ModelName, &FileEntry)> {
        self.files(visible).into_iter().find(|(_, file)| file.id.digest == *digest)
    }

    /// Every file once, of models that `visible` lets one see.
    fn files(&self, visible: impl Fn(&ModelName) -> bool) -> Vec<(&ModelName, &FileEntry)> {
        let mut seen = HashSet::new();
        let models = self.models().filter(|model| visible(&model.name));
        let files = models.flat_map(|model| model.files.iter().map(|file| (&model.name, file)));
        files.filter(|(_, file)| seen.insert(file.id.digest)).collect()
    }

    /// Files against which a delta of `file` is small, since both are deltas of the same pieces: by how many bytes of it
    /// that is true of, and of equals those first that hold the pieces whole.
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

    /// Files that may serve as a base of a file with these tensors: by bytes of tensors that are the same, then by bytes
    /// of tensors that are alike.
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

    /// Which of these tensors are stored, in files of models that `visible` lets one see.
    pub fn stored(&self, tensors: &[Announced<'_>], visible: impl Fn(&ModelName) -> bool) -> Vec<bool> {
        let files = self.files(visible);
        let facts: Vec<&Arc<Facts>> = files.iter().filter_map(|(_, file)| self.facts.get(&file.id)).collect();
        tensors.iter().map(|tensor| facts.iter().any(|facts| facts.tensors.contains(&tensor.digest))).collect()
    }
}

fn sorted<'a>(related: impl Iterator<Item = Related<'a>>) -> Vec<Related<'a>> {
    let mut related: Vec<_> = related.filter(|related| related.equal > 0 || related.alike > 0).collect();
    // Files come in the order of their models' names, which a stable sort keeps among equals.
    related.sort_by_key(|related| std::cmp::Reverse((related.equal, related.alike)));
    related
}

async fn load(store: &Store, key: String) -> Result<(String, Option<Arc<Model>>)> {
    match store.published(&key).await {
        Ok(model) => Ok((key, model.map(Arc::new))),
        Err(error @ (crate::Error::Damaged { .. } | crate::Error::Unsupported(_))) => {
            tracing::warn!(%error, "a model is left out of what is known");
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

fn signature(name: Option<&str>, dtype: &str, shape: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, dtype, shape).hash(&mut hasher);
    hasher.finish()
}

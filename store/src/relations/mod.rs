//! The relations between published files: their tensors, and the pieces that they or their bases
//! share.
//!
//! A server keeps [`Relations`] in memory and [refreshes](Relations::refresh) them, which reads
//! only the manifests that are new.

mod index;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::backend::Listed;
use crate::digest::Digest;
use crate::error::Result;
use crate::keys::{MODELS, ObjectId};
use crate::manifest::{FileEntry, FileManifest, Model, ModelName};
use crate::store::{Store, parse_published};
use index::{Facts, Index, signature};

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
    index: Index,
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

impl Relations {
    /// Reads the relations as they are now, or returns `None` if nothing has changed. Manifests
    /// that are already known are not read again. Damaged models and files are left out and logged.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn refresh(&self, store: &Store) -> Result<Option<Self>> {
        let listed = store.backend().list(MODELS).await?;
        if self.is_complete(&listed) {
            return Ok(None);
        }
        let mut new = Self { published: self.read_models(store, listed).await?, ..Self::default() };
        // The ids of runs are ordered by time, so that later models replace earlier ones.
        let latest = new.published.values().flatten().map(|model| (model.name.clone(), model.clone()));
        new.models = latest.collect();
        new.facts = self.read_facts(store, new.ids()).await?;
        let index = move || {
            new.index = Index::of(new.models.values(), &new.facts);
            new
        };
        Ok(Some(store.compute(index).await))
    }

    /// Returns `true` if exactly these keys are published and all of their files are known. Files
    /// that were damaged are read again, since they may have been repaired.
    fn is_complete(&self, listed: &[Listed]) -> bool {
        let is_known = |listed: &Listed| self.published.contains_key(&listed.key);
        let same = listed.len() == self.published.len() && listed.iter().all(is_known);
        same && self.facts.len() == self.ids().len()
    }

    /// The models in these objects, which are read if they are not known. Tombstones and damaged
    /// manifests are `None`.
    async fn read_models(&self, store: &Store, listed: Vec<Listed>) -> Result<BTreeMap<String, Option<Arc<Model>>>> {
        let (all, mut published, mut new) = (listed.len(), BTreeMap::new(), HashMap::new());
        for Listed { key, tag, .. } in listed {
            match self.published.get(&key) {
                Some(known) => drop(published.insert(key, known.clone())),
                None => drop(new.insert(key, tag)),
            }
        }
        let registers = store.registers_for(new.len(), all).await?;
        store
            .read_all(new, registers, &mut |key, bytes| {
                let model = bytes.map_or(Ok(None), |bytes| parse_published(&key, &bytes));
                let model = model.unwrap_or_else(|error| {
                    tracing::warn!(%error, "a damaged model is left out of the relations");
                    None
                });
                published.insert(key, model.map(Arc::new));
            })
            .await?;
        Ok(published)
    }

    /// The ids of the files of all models.
    fn ids(&self) -> HashSet<ObjectId> {
        self.models.values().flat_map(|model| model.files.iter().map(|file| file.id)).collect()
    }

    /// The contents of these files, whose manifests are read if they are not known. Damaged files
    /// are left out.
    async fn read_facts(&self, store: &Store, mut ids: HashSet<ObjectId>) -> Result<HashMap<ObjectId, Arc<Facts>>> {
        let all = ids.len();
        let known = |id: &ObjectId| self.facts.get(id).map(|facts| (*id, facts.clone()));
        let mut facts: HashMap<ObjectId, Arc<Facts>> = ids.iter().filter_map(known).collect();
        ids.retain(|id| !facts.contains_key(id));
        let add = &mut |id: ObjectId, manifest: Result<FileManifest>| match manifest {
            Ok(manifest) => drop(facts.insert(id, Arc::new(Facts::of(&manifest)))),
            Err(error) => tracing::warn!(%error, "a damaged file is left out of the relations"),
        };
        store.read_files(ids, all, add).await?;
        Ok(facts)
    }

    /// All models, ordered by name.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values().map(|model| &**model)
    }

    /// A file with this digest, in a model for which `visible` returns `true`.
    pub fn file(&self, digest: &Digest, visible: impl Fn(&ModelName) -> bool) -> Option<(&ModelName, &FileEntry)> {
        self.index.contents.get(self.index.file(digest)?)?.place(visible)
    }

    /// The files against which a delta of the stored `file` is small, best first: those that share
    /// pieces with it, or are deltas against the same pieces. `equal` counts the bytes for which
    /// this is so, and `alike` those of them whose piece is not stored as a delta there.
    pub fn relatives(&self, file: &FileEntry, visible: impl Fn(&ModelName) -> bool) -> Vec<Related<'_>> {
        let Some(own) = self.facts.get(&file.id) else { return Vec::new() };
        let mut found = vec![(0u64, 0u64); self.index.contents.len()];
        for (root, length) in summed(own.roots.iter().copied()) {
            self.index.roots(&root).iter().for_each(|&content| found[content as usize].0 += length);
            self.index.whole(&root).iter().for_each(|&content| found[content as usize].1 += length);
        }
        let others = found.into_iter().zip(&self.index.contents);
        let others = others.filter(|(_, content)| content.digest != file.id.digest);
        // A common piece is needed even by a file that is too short for its share to be a byte.
        let near = others.filter(|((equal, _), _)| *equal > 0 && *equal >= file.length / LEAST);
        sorted(near.filter_map(|(bytes, content)| content.related(bytes, &visible)))
    }

    /// Returns `true` if the file with the digest `base` is among the
    /// [`relatives`](Self::relatives) of `file`.
    pub fn is_relative(&self, file: &FileEntry, base: &Digest) -> bool {
        let content = self.index.file(base).and_then(|number| self.index.contents.get(number));
        let (Some(own), Some(other)) = (self.facts.get(&file.id), content) else { return false };
        let roots: HashSet<&Digest> = other.facts.roots.iter().map(|(root, _)| root).collect();
        let shared = own.roots.iter().filter(|(root, _)| roots.contains(root));
        let equal: u64 = shared.map(|(_, length)| length).sum();
        *base != file.id.digest && equal > 0 && equal >= file.length / LEAST
    }

    /// The files that may serve as the base of a new file with these tensors, best first. `equal`
    /// counts the bytes of tensors with the same digest, and `alike` those with the same name,
    /// dtype and shape. Each comparison with a stored tensor takes one of `steps`. Without steps,
    /// the remaining tensors are not compared.
    pub fn bases(
        &self,
        tensors: &[Announced<'_>],
        visible: impl Fn(&ModelName) -> bool,
        steps: &mut usize,
    ) -> Vec<Related<'_>> {
        let equal = summed(tensors.iter().map(|tensor| (tensor.digest, tensor.length)));
        let alike = summed(
            tensors.iter().map(|tensor| (signature(Some(tensor.name), tensor.dtype, tensor.shape), tensor.length)),
        );
        let mut found: HashMap<u32, (u64, u64)> = HashMap::new();
        for (digest, length) in equal {
            for content in spend(steps, self.index.tensors(&digest)) {
                found.entry(*content).or_default().0 += length;
            }
        }
        for (signature, length) in alike {
            for content in spend(steps, self.index.signatures(signature)) {
                found.entry(*content).or_default().1 += length;
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable();
        let contents =
            found.into_iter().filter_map(|(number, bytes)| Some((bytes, self.index.contents.get(number as usize)?)));
        sorted(contents.filter_map(|(bytes, content)| content.related(bytes, &visible)))
    }

    /// Returns for each of these tensors if it is stored, in a file of a model for which `visible`
    /// returns `true`.
    pub fn stored(&self, tensors: &[Announced<'_>], visible: impl Fn(&ModelName) -> bool) -> Vec<bool> {
        let mut known: HashMap<Digest, bool> = HashMap::new();
        let mut seen: HashMap<u32, bool> = HashMap::new();
        let mut is_seen = |content: &u32| {
            let look = || self.index.contents.get(*content as usize).is_some_and(|c| c.place(&visible).is_some());
            *seen.entry(*content).or_insert_with(look)
        };
        let mut stored = |tensor: &Announced<'_>| {
            let look = || self.index.tensors(&tensor.digest).iter().any(&mut is_seen);
            *known.entry(tensor.digest).or_insert_with(look)
        };
        tensors.iter().map(&mut stored).collect()
    }
}

/// The sum of the lengths of each key.
fn summed<K: std::hash::Hash + Eq>(lengths: impl Iterator<Item = (K, u64)>) -> HashMap<K, u64> {
    let mut sums: HashMap<K, u64> = HashMap::new();
    lengths.for_each(|(key, length)| {
        let sum = sums.entry(key).or_default();
        *sum = sum.saturating_add(length);
    });
    sums
}

/// The first of these contents, as many as there are `steps` for, which they take.
fn spend<'a>(steps: &mut usize, contents: &'a [u32]) -> &'a [u32] {
    let taken = contents.len().min(*steps);
    *steps -= taken;
    &contents[..taken]
}

fn sorted<'a>(related: impl Iterator<Item = Related<'a>>) -> Vec<Related<'a>> {
    let mut related: Vec<_> = related.filter(|related| related.equal > 0 || related.alike > 0).collect();
    // The sort is stable, so equally good files stay in the order of their models' names.
    related.sort_by_key(|related| std::cmp::Reverse((related.equal, related.alike)));
    related
}

//! The index of the stored files by their digests, pieces and tensors. With it, a comparison with
//! all of them costs only what they have in common.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Related;
use crate::digest::Digest;
use crate::keys::ObjectId;
use crate::manifest::{FileEntry, FileManifest, Model, ModelName};

/// The contents of a file, as far as they matter for relations.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The root and the length of each piece. The root of a delta is its base; any other piece is
    /// its own root.
    pub(super) roots: Vec<(Digest, u64)>,
    /// The pieces that are not stored as deltas, each once.
    whole: Vec<Digest>,
    /// The digests of the tensors, each once.
    tensors: Vec<Digest>,
    /// The hashes of the tensors' names, dtypes and shapes, each once.
    signatures: Vec<u64>,
}

/// A file that is stored, in one or several models.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) digest: Digest,
    pub(super) facts: Arc<Facts>,
    /// The models with the file, ordered by name, and the number of the file in each.
    places: Vec<(Arc<Model>, usize)>,
}

/// All stored files, and their numbers by what they contain.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) contents: Vec<Content>,
    files: HashMap<Digest, u32>,
    roots: HashMap<Digest, Vec<u32>>,
    whole: HashMap<Digest, Vec<u32>>,
    tensors: HashMap<Digest, Vec<u32>>,
    signatures: HashMap<u64, Vec<u32>>,
}

impl Facts {
    pub(super) fn of(manifest: &FileManifest) -> Self {
        let root = |piece: &crate::PieceRef| (piece.base.unwrap_or(piece.id).digest, piece.length);
        let whole = manifest.pieces().filter(|piece| piece.base.is_none()).map(|piece| piece.id.digest);
        let named = manifest.items.iter().filter(|item| item.name.is_some());
        let signed = named.clone().map(|item| signature(item.name.as_deref(), item.dtype.name(), &item.shape));
        Self {
            roots: manifest.pieces().map(root).collect(),
            whole: once(whole),
            tensors: once(named.filter_map(|item| item.digest())),
            signatures: once(signed),
        }
    }
}

impl Content {
    /// The model and the entry of the file, in a model for which `visible` returns `true`.
    pub(super) fn place(&self, visible: impl Fn(&ModelName) -> bool) -> Option<(&ModelName, &FileEntry)> {
        let (model, place) = self.places.iter().find(|(model, _)| visible(&model.name))?;
        Some((&model.name, model.files.get(*place)?))
    }

    /// The file as a relation of `equal` and `alike` bytes, if it is visible.
    pub(super) fn related(
        &self,
        (equal, alike): (u64, u64),
        visible: impl Fn(&ModelName) -> bool,
    ) -> Option<Related<'_>> {
        let (model, file) = self.place(visible)?;
        Some(Related { model, file, equal, alike })
    }
}

impl Index {
    /// Indexes the files of these models, which are ordered by name. Files without facts are found
    /// by their digest only.
    pub(super) fn of<'a>(models: impl Iterator<Item = &'a Arc<Model>>, facts: &HashMap<ObjectId, Arc<Facts>>) -> Self {
        let mut index = Self::default();
        for model in models {
            for (place, file) in model.files.iter().enumerate() {
                index.add((model, place), file, facts.get(&file.id));
            }
        }
        index
    }

    fn add(&mut self, (model, place): (&Arc<Model>, usize), file: &FileEntry, facts: Option<&Arc<Facts>>) {
        let place = (model.clone(), place);
        if let Some(number) = self.file(&file.id.digest) {
            self.contents[number].places.push(place);
            return;
        }
        let number = self.contents.len() as u32;
        let facts = facts.cloned().unwrap_or_default();
        for root in once(facts.roots.iter().map(|(root, _)| *root)) {
            self.roots.entry(root).or_default().push(number);
        }
        facts.whole.iter().for_each(|piece| self.whole.entry(*piece).or_default().push(number));
        facts.tensors.iter().for_each(|tensor| self.tensors.entry(*tensor).or_default().push(number));
        facts.signatures.iter().for_each(|signed| self.signatures.entry(*signed).or_default().push(number));
        self.files.insert(file.id.digest, number);
        self.contents.push(Content { digest: file.id.digest, facts, places: vec![place] });
    }

    /// The number of the file with this digest.
    pub(super) fn file(&self, digest: &Digest) -> Option<usize> {
        self.files.get(digest).map(|number| *number as usize)
    }

    /// The numbers of the files with this piece, or with deltas against it.
    pub(super) fn roots(&self, digest: &Digest) -> &[u32] {
        self.roots.get(digest).map_or(&[], Vec::as_slice)
    }

    /// The numbers of the files with this piece.
    pub(super) fn whole(&self, digest: &Digest) -> &[u32] {
        self.whole.get(digest).map_or(&[], Vec::as_slice)
    }

    /// The numbers of the files with this tensor.
    pub(super) fn tensors(&self, digest: &Digest) -> &[u32] {
        self.tensors.get(digest).map_or(&[], Vec::as_slice)
    }

    /// The numbers of the files with a tensor of this signature.
    pub(super) fn signatures(&self, signature: u64) -> &[u32] {
        self.signatures.get(&signature).map_or(&[], Vec::as_slice)
    }
}

/// The values, each once.
fn once<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.shrink_to_fit();
    values
}

/// The hash of a tensor's name, dtype and shape.
pub(super) fn signature(name: Option<&str>, dtype: &str, shape: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, dtype, shape).hash(&mut hasher);
    hasher.finish()
}

//! The sizes of the stored models, and the savings of each step.

use std::collections::{HashMap, HashSet};

use bitx::layout::Dtype;
use futures::TryStreamExt;

use crate::error::Result;
use crate::keys::{Kind, MODELS, ObjectId};
use crate::manifest::{FileManifest, Item};
use crate::store::{Listing, Store};
use crate::verify::Problem;

/// The sizes of everything that published models need, in bytes, after each step of storing them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// The number of models.
    pub models: u64,
    /// The number of files in all models.
    pub files: u64,
    /// The number of tensors in all files.
    pub tensors: u64,
    /// The number of these tensors that are in packs.
    pub packed_tensors: u64,
    /// The number of packs; equal packs count once.
    pub packs: u64,
    /// The total size of all files of all models.
    pub input_bytes: u64,
    /// The size after equal files are counted once.
    pub after_file_dedup: u64,
    /// The size after equal tensors, and equal bytes between tensors, are counted once.
    pub after_tensor_dedup: u64,
    /// The size after pieces are compressed, alone or as deltas.
    pub after_coding: u64,
    /// The size of the pieces stored as deltas, before coding.
    pub delta_input_bytes: u64,
    /// The size of the pieces stored as deltas, after coding.
    pub delta_bytes: u64,
    /// The size of those of these pieces that have a base of another dtype, such as the floats of a
    /// quantised tensor, before coding. Bases that only removed models have do not count.
    pub value_input_bytes: u64,
    /// The size of the same pieces after coding.
    pub value_bytes: u64,
    /// The size of the manifests of models and files.
    pub manifest_bytes: u64,
    /// The size of the sketches.
    pub sketch_bytes: u64,
    /// The manifests that cannot be read, and are left out.
    pub problems: Vec<Problem>,
}

/// A piece that published models need.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    length: u64,
    base: Option<ObjectId>,
    /// The dtype of its tensor, if a published model has it.
    dtype: Option<Dtype>,
}

impl Stats {
    /// The total number of bytes in the storage for these models.
    pub fn stored_bytes(&self) -> u64 {
        self.after_coding + self.manifest_bytes + self.sketch_bytes
    }

    /// The share of the input that is saved, from 0 to 1. Negative if the store is larger than the
    /// input.
    pub fn saved(&self) -> f64 {
        if self.input_bytes == 0 { 0.0 } else { 1.0 - self.stored_bytes() as f64 / self.input_bytes as f64 }
    }

    /// The bytes of manifests and sketches per tensor.
    pub fn metadata_per_tensor(&self) -> f64 {
        (self.manifest_bytes + self.sketch_bytes) as f64 / self.tensors.max(1) as f64
    }
}

impl Store {
    /// Computes the sizes of everything that published models need.
    ///
    /// # Errors
    /// Objects that cannot be listed or read.
    pub async fn stats(&self) -> Result<Stats> {
        let Listing { models, problems, .. } = self.listing().await?;
        let mut stats = Stats { models: models.len() as u64, problems, ..Stats::default() };
        let mut uses: HashMap<ObjectId, u64> = HashMap::new();
        for file in models.iter().flat_map(|model| &model.files) {
            stats.files += 1;
            stats.input_bytes += file.length;
            *uses.entry(file.id).or_default() += 1;
        }
        let mut pieces = HashMap::new();
        let (mut contents, mut packs, mut sources) = (HashSet::new(), HashSet::new(), HashSet::new());
        let add = &mut |id: ObjectId, manifest: Result<FileManifest>| {
            let manifest = match manifest {
                Err(error) => return stats.problems.push(Problem::of_object(&Kind::Files.key(&id), &error)),
                Ok(manifest) => manifest,
            };
            let uses = uses[&id];
            sources.extend(manifest.needs.iter().copied());
            stats.tensors += uses * manifest.items.iter().filter(|item| item.name.is_some()).count() as u64;
            stats.packed_tensors += uses * manifest.packed().filter(|place| place.item.name.is_some()).count() as u64;
            stats.packs += manifest.packs.iter().filter(|pack| packs.insert(pack.id)).count() as u64;
            stats.after_file_dedup += manifest.length;
            let of_item = |item: &Item| item.pieces.iter().map(|piece| (Some(item.dtype), *piece)).collect::<Vec<_>>();
            let packed = manifest.packs.iter().map(|pack| (None, *pack));
            let taken = manifest.taken().iter().map(|piece| (None, *piece));
            for (dtype, piece) in manifest.items.iter().flat_map(of_item).chain(packed).chain(taken) {
                stats.after_tensor_dedup += if contents.insert(piece.id.digest) { piece.length } else { 0 };
                let known: &mut Piece = pieces.entry(piece.id).or_default();
                *known = Piece { length: piece.length, base: piece.base, dtype: dtype.or(known.dtype) };
                if let Some(base) = piece.base {
                    // The base may belong to a removed model, so that only its stored size is
                    // known.
                    pieces.entry(base).or_default();
                }
            }
        };
        self.read_files(uses.keys().copied().collect(), uses.len(), add).await?;
        self.add_stored(&mut stats, (&uses, &sources), &pieces).await?;
        Ok(stats)
    }

    /// Adds the sizes of the stored objects to `stats`. Of the `sources` of excerpts, only the
    /// manifests are needed.
    async fn add_stored(
        &self,
        stats: &mut Stats,
        (files, sources): (&HashMap<ObjectId, u64>, &HashSet<ObjectId>),
        pieces: &HashMap<ObjectId, Piece>,
    ) -> Result<()> {
        let mut listed = self.backend().listed(Kind::Pieces.folder());
        while let Some(object) = listed.try_next().await? {
            let piece = Kind::Pieces.parse(&object.key).and_then(|id| pieces.get(&id));
            let Some(piece) = piece else { continue };
            stats.after_coding += object.bytes;
            let Some(base) = piece.base else { continue };
            stats.delta_bytes += object.bytes;
            stats.delta_input_bytes += piece.length;
            let of_base = pieces.get(&base).and_then(|base| base.dtype);
            if of_base.is_some() && of_base != piece.dtype {
                stats.value_bytes += object.bytes;
                stats.value_input_bytes += piece.length;
            }
        }
        for (kind, sum) in [(Kind::Files, &mut stats.manifest_bytes), (Kind::Sketches, &mut stats.sketch_bytes)] {
            let mut listed = self.backend().listed(kind.folder());
            while let Some(object) = listed.try_next().await? {
                let is_source = |id: &ObjectId| kind == Kind::Files && sources.contains(id);
                let is_needed = kind.parse(&object.key).is_some_and(|id| files.contains_key(&id) || is_source(&id));
                *sum += if is_needed { object.bytes } else { 0 };
            }
        }
        stats.manifest_bytes += self.backend().list(MODELS).await?.iter().map(|object| object.bytes).sum::<u64>();
        Ok(())
    }
}

//! Families of models, which are related by deltas or by equal tensors.

mod svg;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::Result;
use crate::keys::ObjectId;
use crate::manifest::{FileManifest, Model, PieceRef};
use crate::store::Store;

/// The share of a model that must be related to another model for both to be a family.
const LEAST_SHARE: f64 = 0.1;

/// A model of a family.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Member {
    /// The name of the model.
    pub name: String,
    /// The length of its files in bytes.
    pub bytes: u64,
    /// The relation to its base: the model with which it has the most in common, if that is enough.
    pub base: Option<Relation>,
}

/// The relation of a model to its base.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Relation {
    /// The name of the base.
    pub model: String,
    /// The bytes stored as deltas against tensors of the base.
    pub delta_bytes: u64,
    /// The bytes of tensors that are equal in the base.
    pub equal_bytes: u64,
}

/// The pieces of files, which are all of their manifests that families need.
type Pieces = HashMap<ObjectId, Vec<PieceRef>>;

/// A family: related models, beginning with the base.
pub type Family = Vec<Member>;

impl Store {
    /// Computes the families of the published models, largest first. Models and files that cannot
    /// be read are logged and left out.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn families(&self) -> Result<Vec<Family>> {
        let mut models = self.models().await?;
        let ids: HashSet<ObjectId> = models.iter().flat_map(|model| model.files.iter().map(|file| file.id)).collect();
        let (count, mut pieces) = (ids.len(), Pieces::new());
        let add = &mut |id: ObjectId, manifest: Result<FileManifest>| match manifest {
            Err(error) => tracing::warn!(%error, "a damaged file is left out"),
            Ok(manifest) => drop(pieces.insert(id, manifest.pieces().copied().collect())),
        };
        self.read_files(ids, count, add).await?;
        models.iter_mut().for_each(|model| model.files.retain(|file| pieces.contains_key(&file.id)));
        Ok(families(&models, &pieces))
    }
}

/// Draws the families as an SVG, with a dot for each model and a line to its base.
pub fn families_svg(families: &[Family]) -> String {
    svg::draw(families)
}

fn families(models: &[Model], pieces: &Pieces) -> Vec<Family> {
    let holders = holders(models, pieces);
    let mut members: Vec<Member> =
        models.iter().enumerate().map(|(i, model)| member(i, model, models, pieces, &holders)).collect();
    break_circles(&mut members);
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let names: HashMap<String, usize> = members.iter().enumerate().map(|(i, m)| (m.name.clone(), i)).collect();
    for member in &members {
        let mut root = member;
        while let Some(base) = &root.base {
            root = &members[names[&base.model]];
        }
        families.entry(root.name.clone()).or_default().push(member.clone());
    }
    let mut families: Vec<Family> = families.into_values().collect();
    families
        .iter_mut()
        .for_each(|family| family.sort_by(|a, b| (a.base.is_some(), &a.name).cmp(&(b.base.is_some(), &b.name))));
    families.sort_by(|a, b| (b.len(), &a[0].name).cmp(&(a.len(), &b[0].name)));
    families
}

/// The models that hold each piece, by their index in `models`.
fn holders(models: &[Model], pieces: &Pieces) -> HashMap<ObjectId, Vec<usize>> {
    let mut holders: HashMap<ObjectId, Vec<usize>> = HashMap::new();
    for (i, model) in models.iter().enumerate() {
        for piece in model.files.iter().flat_map(|file| &pieces[&file.id]) {
            let models = holders.entry(piece.id).or_default();
            if models.last() != Some(&i) {
                models.push(i);
            }
        }
    }
    holders
}

/// Relates the model at `index` to the model with which it has the most in common.
fn member(
    index: usize,
    model: &Model,
    models: &[Model],
    pieces: &Pieces,
    holders: &HashMap<ObjectId, Vec<usize>>,
) -> Member {
    let mut relations: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for piece in model.files.iter().flat_map(|file| &pieces[&file.id]) {
        let wanted = piece.base.unwrap_or(piece.id);
        for &other in holders.get(&wanted).into_iter().flatten().filter(|&&other| other != index) {
            let (delta, equal) = relations.entry(other).or_default();
            *(if piece.base.is_some() { delta } else { equal }) += piece.length;
        }
    }
    let bytes = model.length();
    let best = relations.into_iter().max_by_key(|&(other, (delta, equal))| (delta + equal, delta, usize::MAX - other));
    let enough = best.filter(|(_, (delta, equal))| (delta + equal) as f64 >= LEAST_SHARE * bytes as f64);
    let relation = |(other, (delta_bytes, equal_bytes)): (usize, (u64, u64))| Relation {
        model: models[other].name.to_string(),
        delta_bytes,
        equal_bytes,
    };
    Member { name: model.name.to_string(), bytes, base: enough.map(relation) }
}

/// Breaks circles of models that are each other's bases, as models with equal tensors are. The
/// model with the fewest deltas in a circle becomes its base.
fn break_circles(members: &mut [Member]) {
    let names: HashMap<String, usize> = members.iter().enumerate().map(|(i, m)| (m.name.clone(), i)).collect();
    for start in 0..members.len() {
        let mut path = vec![start];
        while let Some(base) = &members[path[path.len() - 1]].base {
            let next = names[&base.model];
            if let Some(at) = path.iter().position(|&seen| seen == next) {
                let deltas = |i: &usize| members[*i].base.as_ref().map_or(0, |base| base.delta_bytes);
                let root = path[at..].iter().copied().min_by_key(|i| (deltas(i), *i)).unwrap_or(start);
                members[root].base = None;
                break;
            }
            path.push(next);
        }
    }
}

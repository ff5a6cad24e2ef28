//! Families: which models were stored as deltas against which, and which share tensors.

mod svg;

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

use crate::backend::REQUESTS;
use crate::error::Result;
use crate::keys::ObjectId;
use crate::manifest::{FileManifest, Model};
use crate::store::Store;

/// A relation that serves less of a model than this makes no family.
const LEAST_SHARE: f64 = 0.1;

/// A model and what of it others hold.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Length of its files in bytes.
    pub bytes: u64,
    /// The model that serves most of it, if one serves enough.
    pub base: Option<Relation>,
}

/// What one model has of another.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Relation {
    /// The other model.
    pub model: String,
    /// Bytes that are deltas against tensors of it.
    pub delta_bytes: u64,
    /// Bytes that are tensors of it.
    pub equal_bytes: u64,
}

/// Models that are related, the one that most rely on first.
pub type Family = Vec<Member>;

impl Store {
    /// The families of what is stored, largest first.
    ///
    /// # Errors
    /// Anything that cannot be listed or read.
    pub async fn families(&self) -> Result<Vec<Family>> {
        let models = self.models().await?;
        let ids: Vec<ObjectId> = models.iter().flat_map(|model| model.files.iter().map(|file| file.id)).collect();
        let manifests = stream::iter(ids).map(|id| async move { Ok((id, self.file(&id).await?)) });
        let manifests: HashMap<ObjectId, FileManifest> = manifests.buffer_unordered(REQUESTS).try_collect().await?;
        Ok(families(&models, &manifests))
    }
}

/// The families as a picture: every model a dot, beside the model that it relies on.
pub fn families_svg(families: &[Family]) -> String {
    svg::draw(families)
}

fn families(models: &[Model], manifests: &HashMap<ObjectId, FileManifest>) -> Vec<Family> {
    let holders = holders(models, manifests);
    let mut members: Vec<Member> =
        models.iter().enumerate().map(|(i, model)| member(i, model, models, manifests, &holders)).collect();
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

/// Which models hold a piece.
fn holders(models: &[Model], manifests: &HashMap<ObjectId, FileManifest>) -> HashMap<ObjectId, Vec<usize>> {
    let mut holders: HashMap<ObjectId, Vec<usize>> = HashMap::new();
    for (i, model) in models.iter().enumerate() {
        for piece in model.files.iter().flat_map(|file| manifests[&file.id].pieces()) {
            let models = holders.entry(piece.id).or_default();
            if models.last() != Some(&i) {
                models.push(i);
            }
        }
    }
    holders
}

fn member(
    index: usize,
    model: &Model,
    models: &[Model],
    manifests: &HashMap<ObjectId, FileManifest>,
    holders: &HashMap<ObjectId, Vec<usize>>,
) -> Member {
    let mut relations: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for piece in model.files.iter().flat_map(|file| manifests[&file.id].pieces()) {
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

/// Models that share tensors rely on each other: of each circle, the one with the fewest deltas is the base.
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

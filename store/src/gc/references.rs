//! The references of published models to objects.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use futures::{StreamExt, stream};

use crate::backend::REQUESTS;
use crate::error::Result;
use crate::keys::{self, Kind, ObjectId};
use crate::manifest::{FileManifest, ModelName};
use crate::store::Store;
use crate::verify::Problem;

/// The objects that published models need.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// The files, whose hints are needed with them.
    files: HashSet<ObjectId>,
    /// The pieces of these files, and their bases.
    pieces: HashSet<ObjectId>,
    /// The keys of other objects.
    keys: HashSet<String>,
    /// The manifests that cannot be read.
    pub(crate) problems: Vec<Problem>,
}

impl Needed {
    /// Returns `true` if some published model needs the object.
    pub(crate) fn has(&self, key: &str) -> bool {
        let file = || keys::hinted(key).or_else(|| Kind::Files.parse(key));
        self.keys.contains(key)
            || Kind::Pieces.parse(key).is_some_and(|piece| self.pieces.contains(&piece))
            || file().is_some_and(|file| self.files.contains(&file))
    }
}

/// The keys of all objects that some published model needs. A manifest that cannot be read may need
/// anything that was stored before its model was published.
///
/// # Errors
/// Those of the storage, since the result would be incomplete.
pub(crate) async fn needed(store: &Store) -> Result<Needed> {
    let listing = store.listing().await?;
    let mut unread = listing.unread;
    let mut needed = Needed { problems: listing.problems, ..Needed::default() };
    let mut files: HashMap<ObjectId, (&ModelName, SystemTime)> = HashMap::new();
    for (model, published) in listing.models.iter().zip(listing.modified) {
        for file in &model.files {
            let known = files.entry(file.id).or_insert((&model.name, published));
            known.1 = known.1.max(published);
        }
    }
    let manifests = stream::iter(&files).map(|(id, model)| async move { (id, model, store.file(id).await) });
    let mut manifests = manifests.buffer_unordered(REQUESTS);
    while let Some((id, (name, published), manifest)) = manifests.next().await {
        needed.files.insert(*id);
        match manifest {
            Ok(manifest) => {
                needed.pieces.extend(pieces(&manifest));
                // Of a file that excerpts are of, the manifest and the hints are needed, and only the
                // pieces that the excerpts are in.
                needed.files.extend(manifest.needs.iter().copied());
            }
            Err(error) if error.is_of_object() => {
                needed.problems.push(Problem::of_model(name, &error));
                unread = unread.max(Some(*published));
            }
            Err(error) => return Err(error),
        }
    }
    drop(manifests);
    // An archive is needed as long as both of its files are.
    let digests: HashSet<_> = files.keys().map(|file| file.digest).collect();
    for listed in store.backend().list(Kind::Archives.folder()).await? {
        let of = keys::archive(&listed.key);
        if of.is_some_and(|(target, base)| digests.contains(&target) && digests.contains(&base)) {
            needed.keys.insert(listed.key);
        }
    }
    if let Some(unread) = unread {
        for folder in keys::collectable() {
            let listed = store.backend().list(folder).await?.into_iter();
            needed.keys.extend(listed.filter(|object| object.modified <= unread).map(|object| object.key));
        }
    }
    Ok(needed)
}

/// The pieces of a file and their bases.
fn pieces(manifest: &FileManifest) -> impl Iterator<Item = ObjectId> {
    manifest.pieces().flat_map(|piece| [Some(piece.id), piece.base]).flatten()
}

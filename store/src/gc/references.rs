//! The references of published models to objects.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::error::Result;
use crate::keys::{self, Kind, ObjectId};
use crate::manifest::{FileManifest, ModelName};
use crate::part::Part;
use crate::store::Store;
use crate::uploads;
use crate::verify::Problem;

/// The objects that published models and open uploads need.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// The files, whose hints are needed with them.
    files: HashSet<ObjectId>,
    /// The pieces of these files, and their bases, as far as they are in the part.
    pieces: HashSet<ObjectId>,
    /// The keys of other objects.
    keys: HashSet<String>,
    /// The manifests that cannot be read.
    pub(crate) problems: Vec<Problem>,
}

impl Needed {
    /// Returns `true` if some published model or open upload needs the object.
    pub(crate) fn has(&self, key: &str) -> bool {
        let file = || keys::hinted(key).or_else(|| Kind::Files.parse(key));
        self.keys.contains(key)
            || Kind::Pieces.parse(key).is_some_and(|piece| self.pieces.contains(&piece))
            || file().is_some_and(|file| self.files.contains(&file))
    }

    /// Adds a file. Of a file that it has excerpts of, it needs the manifest and the pieces that
    /// the excerpts are in, and the hints are kept for as long. Pieces are added as far as they are
    /// in the part.
    fn add(&mut self, id: ObjectId, manifest: &FileManifest, part: Part) {
        self.files.insert(id);
        self.files.extend(manifest.needs.iter().copied());
        self.pieces.extend(manifest.needed_pieces().filter(|piece| part.has(&piece.digest)));
    }

    /// Adds the files with these digests, which uploads need. One that cannot be read serves none.
    async fn add_files(&mut self, store: &Store, part: Part, digests: BTreeSet<Digest>) -> Result<()> {
        for digest in digests {
            for id in store.ids(Kind::Files, &digest).await? {
                match store.file(&id).await {
                    Ok(manifest) => self.add(id, &manifest, part),
                    Err(error) if error.is_of_object() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// The objects of a part of the store that some published model or open upload needs. A manifest
/// that cannot be read may need anything that was stored before its model was published.
///
/// # Errors
/// Those of the storage, since the result would be incomplete.
pub(crate) async fn needed(store: &Store, part: Part) -> Result<Needed> {
    // Uploads come first: one that is published meanwhile leads to a model that is then listed.
    let uploads = uploads::needed(store).await?;
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
    let add = &mut |id: ObjectId, manifest: Result<FileManifest>| match manifest {
        Ok(manifest) => needed.add(id, &manifest, part),
        Err(error) => {
            let (name, published) = files[&id];
            needed.files.insert(id);
            needed.problems.push(Problem::of_model(name, &error));
            unread = unread.max(Some(published));
        }
    };
    store.read_files(files.keys().copied().collect(), files.len(), add).await?;
    needed.add_files(store, part, uploads).await?;
    // An archive is needed as long as both of its files are.
    let digests: HashSet<_> = files.keys().map(|file| file.digest).collect();
    for listed in store.backend().list(Kind::Archives.folder()).await? {
        let of = keys::archive(&listed.key);
        if of.is_some_and(|(target, base)| digests.contains(&target) && digests.contains(&base)) {
            needed.keys.insert(listed.key);
        }
    }
    if let Some(unread) = unread {
        let listed = store.collectable(part).await?.into_iter();
        needed.keys.extend(listed.filter(|object| object.modified <= unread).map(|object| object.key));
    }
    Ok(needed)
}

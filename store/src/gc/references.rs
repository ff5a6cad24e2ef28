//! The references of published models to objects.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};

use crate::backend::REQUESTS;
use crate::error::Result;
use crate::keys::{Kind, ObjectId};
use crate::store::Store;

/// The keys of all objects that some published model needs.
///
/// # Errors
/// Objects that cannot be listed or read, since the result would be incomplete.
pub(crate) async fn needed(store: &Store) -> Result<HashSet<String>> {
    let models = store.models().await?;
    let files: HashSet<ObjectId> = models.iter().flat_map(|model| model.files.iter().map(|file| file.id)).collect();
    let digests: HashSet<_> = files.iter().map(|file| file.digest.to_string()).collect();
    let mut keys = HashSet::new();
    let manifests = stream::iter(files).map(|id| async move { Ok((id, store.file(&id).await?)) });
    let mut manifests = manifests.buffer_unordered(REQUESTS);
    while let Some((id, manifest)) = manifests.try_next().await? {
        keys.insert(Kind::Files.key(&id));
        keys.insert(Kind::Sketches.key(&id));
        for piece in manifest.pieces() {
            keys.insert(Kind::Pieces.key(&piece.id));
            keys.extend(piece.base.map(|base| Kind::Pieces.key(&base)));
        }
    }
    // An archive is needed as long as both of its files are.
    for listed in store.backend().list(Kind::Archives.folder()).await? {
        let mut digests_of =
            listed.key.split('/').skip(1).flat_map(|part| part.split('.')).filter(|part| part.len() == 64);
        if digests_of.all(|digest| digests.contains(digest)) {
            keys.insert(listed.key);
        }
    }
    Ok(keys)
}

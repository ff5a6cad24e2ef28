//! Registers: objects with copies of many manifests, so that all manifests of a store can be read
//! by a few requests.
//!
//! A register is a hint, which can be made again. A copy counts only while the listing of the
//! storage shows the object that was copied, by the tag that the storage gives to an object each
//! time it is written. Manifests without such a copy are read themselves.

mod content;
mod writing;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::backend::REQUESTS;
use crate::error::{Error, Result};
use crate::keys::{self, Kind, ObjectId, REGISTERS};
use crate::manifest::FileManifest;
use crate::part::Part;
use crate::store::Store;
use content::Entry;

/// The least number of manifests that are read from registers, or written to them.
const LEAST: usize = 64;

/// The share of the manifests, as a divisor, from which on registers are worth reading or writing.
const SHARE: usize = 8;

/// The number of registers that are read at a time. Each takes a few megabytes of memory.
const AT_ONCE: usize = 4;

impl Store {
    /// The keys of the registers from which `wanted` of `all` manifests should be read: none if
    /// they are few.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) async fn registers_for(&self, wanted: usize, all: usize) -> Result<Vec<String>> {
        if wanted < LEAST || wanted.saturating_mul(SHARE) < all { Ok(Vec::new()) } else { self.registers().await }
    }

    /// The keys of all registers.
    async fn registers(&self) -> Result<Vec<String>> {
        let listed = self.backend().list(REGISTERS).await?.into_iter().map(|listed| listed.key);
        Ok(listed.filter(|key| keys::register_of(key).is_some()).collect())
    }

    /// The entries of a register: none of one that is damaged or was removed.
    async fn entries(&self, key: &str) -> Result<Vec<Entry>> {
        let Some(bytes) = self.backend().get(key).await? else { return Ok(Vec::new()) };
        let entries = content::parse(key, &bytes);
        entries.or_else(|error| {
            tracing::warn!(%error, "a damaged register is not used");
            Ok(Vec::new())
        })
    }

    /// Reads the objects with the keys `wanted`, which have these tags, and calls `each` with every
    /// key and the object's bytes, or with `None` for an object that is not there. Copies in
    /// `registers` serve for objects whose tags are known.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) async fn read_all(
        &self,
        mut wanted: HashMap<String, Option<String>>,
        registers: Vec<String>,
        each: &mut (dyn FnMut(String, Option<Bytes>) + Send),
    ) -> Result<()> {
        let read = stream::iter(registers).map(|key| async move { self.entries(&key).await });
        let mut read = read.buffered(AT_ONCE);
        while let Some(entries) = read.try_next().await? {
            for Entry { key, tag, bytes } in entries {
                if wanted.get(&key).is_some_and(|wanted| wanted.as_ref() == Some(&tag)) {
                    wanted.remove(&key);
                    each(key, Some(bytes));
                }
            }
        }
        let others = stream::iter(wanted.into_keys()).map(|key| async move {
            let bytes = self.backend().get(&key).await;
            bytes.map(|bytes| (key, bytes))
        });
        let mut others = others.buffer_unordered(REQUESTS);
        while let Some((key, bytes)) = others.try_next().await? {
            each(key, bytes);
        }
        Ok(())
    }

    /// Calls `each` with the manifest of each of these files, of `all` that the caller knows. A
    /// manifest is an error if it, or that of a file that it has excerpts of, is damaged.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) async fn read_files(
        &self,
        ids: HashSet<ObjectId>,
        all: usize,
        each: &mut (dyn FnMut(ObjectId, Result<FileManifest>) + Send),
    ) -> Result<()> {
        let registers = self.registers_for(ids.len(), all).await?;
        let mut wanted: HashMap<String, Option<String>> =
            ids.into_iter().map(|id| (Kind::Files.key(&id), None)).collect();
        if !registers.is_empty() {
            let mut listed = self.backend().listed(Kind::Files.folder());
            while let Some(object) = listed.try_next().await? {
                wanted.entry(object.key).and_modify(|tag| *tag = object.tag);
            }
        }
        let mut with_excerpts = Vec::new();
        self.read_all(wanted, registers, &mut |key, bytes| {
            let Some(id) = Kind::Files.parse(&key) else { return };
            let bytes = bytes.ok_or_else(|| Error::damaged(&key, "the object is missing"));
            match bytes.and_then(|bytes| FileManifest::parse(&key, &bytes)) {
                Ok(manifest) if !manifest.sources.is_empty() => with_excerpts.push(id),
                manifest => each(id, manifest),
            }
        })
        .await?;
        let others = stream::iter(with_excerpts).map(|id| async move { (id, self.file(&id).await) });
        let mut others = others.buffer_unordered(REQUESTS);
        while let Some((id, manifest)) = others.next().await {
            match manifest {
                Err(error) if !error.is_of_object() => return Err(error),
                manifest => each(id, manifest),
            }
        }
        Ok(())
    }
}

/// Checks the registers of a part. Returns the result for each.
///
/// # Errors
/// Those of the storage.
pub(crate) async fn check(store: &Store, part: Part) -> Result<Vec<(String, Result<()>)>> {
    let mut keys = store.registers().await?;
    keys.retain(|key| keys::register_of(key).is_some_and(|digest| part.has(&digest)));
    let checked = stream::iter(keys).map(|key| async move {
        let bytes = store.backend().get(&key).await?;
        // It may have been replaced meanwhile.
        let checked = bytes.map_or(Ok(()), |bytes| content::parse(&key, &bytes).map(drop));
        Ok((key, checked))
    });
    checked.buffered(AT_ONCE).try_collect().await
}

//! The writing of registers, as far as enough manifests are in none.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::content::{self, Entry, FULL, LONGEST};
use super::{LEAST, SHARE};
use crate::backend::REQUESTS;
use crate::error::Result;
use crate::keys::{self, Kind, MODELS};
use crate::manifest::FileManifest;
use crate::store::{Store, parse_published};

/// The registers as they are, compared with the manifests.
#[derive(Debug, Default)]
struct Survey {
    /// The registers that are to be replaced, since most of their copies do not count any longer or
    /// they are short.
    replaced: Vec<String>,
    /// The keys of the manifests that the others have.
    kept: HashSet<String>,
    /// The number of copies that count.
    current: usize,
    /// The number of copies that do not.
    outdated: usize,
    /// The number of registers that have no copies, because they are damaged.
    damaged: usize,
}

impl Store {
    /// Writes registers of the manifests that are in none, if they are an eighth of all, and
    /// replaces those that are outdated. Returns the number of registers that were written.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) async fn write_registers(&self) -> Result<usize> {
        let (registers, mut tags) = (self.registers().await?, self.tags().await?);
        if registers.is_empty() && tags.len() < LEAST {
            return Ok(0);
        }
        let survey = self.survey_registers(registers, &tags).await?;
        let missing = tags.len() - survey.current;
        let is_due = missing >= LEAST && missing * SHARE >= tags.len();
        if !is_due && survey.outdated <= survey.current && survey.damaged == 0 {
            return Ok(0);
        }
        tags.retain(|key, _| !survey.kept.contains(key));
        let mut writer = Writer { store: self, entries: Vec::new(), length: 0, written: HashSet::new() };
        for key in &survey.replaced {
            for entry in self.entries(key).await? {
                if tags.get(&entry.key) == Some(&entry.tag) {
                    tags.remove(&entry.key);
                    writer.add(entry).await?;
                }
            }
        }
        let missing = stream::iter(tags).map(|(key, tag)| async move {
            let bytes = self.backend().get(&key).await;
            bytes.map(|bytes| bytes.filter(|bytes| is_sound(&key, bytes)).map(|bytes| Entry { key, tag, bytes }))
        });
        let mut missing = missing.buffer_unordered(REQUESTS);
        while let Some(entry) = missing.try_next().await? {
            if let Some(entry) = entry {
                writer.add(entry).await?;
            }
        }
        writer.flush().await?;
        // Whoever has listed a register that is removed now reads the manifests themselves.
        for key in survey.replaced.iter().filter(|key| !writer.written.contains(*key)) {
            self.backend().delete(key).await?;
        }
        Ok(writer.written.len())
    }

    /// The tags of all manifests, by their keys.
    async fn tags(&self) -> Result<HashMap<String, String>> {
        let mut tags = HashMap::new();
        for folder in [MODELS, Kind::Files.folder()] {
            let mut listed = self.backend().listed(folder);
            while let Some(object) = listed.try_next().await? {
                let is_manifest = keys::model_of(&object.key).is_some() || Kind::Files.parse(&object.key).is_some();
                if is_manifest && object.bytes <= LONGEST as u64 {
                    tags.extend(object.tag.map(|tag| (object.key, tag)));
                }
            }
        }
        Ok(tags)
    }

    async fn survey_registers(&self, registers: Vec<String>, tags: &HashMap<String, String>) -> Result<Survey> {
        let (mut survey, mut seen) = (Survey::default(), HashSet::new());
        for register in registers {
            let entries = self.entries(&register).await?;
            let (all, length) = (entries.len(), entries.iter().map(Entry::cost).sum::<usize>());
            let is_current = |entry: &Entry| tags.get(&entry.key) == Some(&entry.tag) && !seen.contains(&entry.key);
            let current: HashSet<String> = entries.into_iter().filter(is_current).map(|entry| entry.key).collect();
            survey.current += current.len();
            survey.outdated += all - current.len();
            survey.damaged += usize::from(all == 0);
            seen.extend(current.iter().cloned());
            if current.len() * 2 > all && length >= FULL / 2 {
                survey.kept.extend(current);
            } else {
                survey.replaced.push(register);
            }
        }
        Ok(survey)
    }
}

/// Returns `true` if the object is a manifest that can be read. Others are in no register, so that
/// they are noticed.
fn is_sound(key: &str, bytes: &Bytes) -> bool {
    match Kind::Files.parse(key) {
        Some(_) => FileManifest::parse(key, bytes).is_ok(),
        None => parse_published(key, bytes).is_ok(),
    }
}

/// A writer of registers, which holds the entries of one of them.
struct Writer<'a> {
    store: &'a Store,
    entries: Vec<Entry>,
    length: usize,
    /// The keys of the registers that were written.
    written: HashSet<String>,
}

impl Writer<'_> {
    async fn add(&mut self, entry: Entry) -> Result<()> {
        self.length += entry.cost();
        self.entries.push(entry);
        if self.length >= FULL { self.flush().await } else { Ok(()) }
    }

    /// Writes the entries that are left.
    async fn flush(&mut self) -> Result<()> {
        let (entries, _) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.length));
        if entries.is_empty() {
            return Ok(());
        }
        if let Some((key, bytes)) = self.store.compute(move || content::write(&entries)).await {
            self.store.backend().create(&key, bytes).await?;
            self.written.insert(key);
        }
        Ok(())
    }
}

//! A folder of archives: the manifest, which describes the files of a model and the archive of each
//! one. [FORMAT.md](../../docs/FORMAT.md) defines it.

mod digest;
mod graphs;
mod path;
mod read;
mod serving;

use std::collections::HashSet;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::quoted::Quoted;
pub use graphs::{Graphs, Side, graph_names, graphs_of};
pub use path::{archive_paths, check_path, check_paths};
pub use serving::{INDEX, Models, counterpart};

/// The name of the manifest in a folder of archives.
pub const MANIFEST: &str = "bitx.json";

/// Maximum length of a manifest in bytes.
pub const LONGEST: u64 = 64 << 20;

/// Maximum number of files in a folder.
pub const MAX_FILES: usize = 65_535;

/// The value of `format` in every manifest.
const FORMAT: &str = "bitx-folder";

/// The version of manifests that this release writes and reads.
const VERSION: u64 = 1;

/// The description of a folder of archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The files of the base that the archives need.
    pub base: Vec<File>,
    /// The files of the model, each with its archive.
    pub files: Vec<Entry>,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// The path inside the model's folder, with `/` between its parts.
    pub path: String,
    /// Number of bytes.
    pub bytes: u64,
    /// BLAKE3 digest of the file.
    #[serde(serialize_with = "digest::serialize")]
    pub blake3: [u8; 32],
}

/// A file of the model with its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The file that the archive restores.
    pub file: File,
    /// The archive.
    pub archive: Archive,
    /// The base files that the archive names, in its order: numbers in [`Manifest::base`].
    pub base: Vec<u32>,
}

/// The archive of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// The path inside the folder of archives, with `/` between its parts.
    pub path: String,
    /// Number of bytes.
    pub bytes: u64,
    /// The root digest, which is the last 32 bytes of the archive.
    #[serde(serialize_with = "digest::serialize")]
    pub root: [u8; 32],
}

/// The fields of a manifest as JSON has them.
#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u64,
    base: &'a [File],
    files: &'a [Entry],
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// `Format` for a file that is no manifest, `Unsupported` for another version, `Limit` for a
    /// manifest that is too long or has too many files, and `Corrupt` for one that contradicts
    /// itself, or has paths that leave the folder, occur twice or differ only in case.
    pub fn parse(json: &[u8]) -> Result<Self> {
        if json.len() as u64 > LONGEST {
            return Err(
                Error::limit("the manifest is too long").figures(format_args!("at most {LONGEST} bytes"), json.len())
            );
        }
        let text = str::from_utf8(json).unwrap_or_default();
        let Some(version) = read::version(text) else {
            return Err(Error::format("this is not the manifest of a folder of archives"));
        };
        if version != VERSION {
            let error = Error::unsupported("the manifest has a version that this release does not know");
            return Err(error.figures(VERSION, version));
        }
        let manifest = read::manifest(text)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Writes the manifest as JSON, with a line feed at its end.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse), so that no manifest is written that cannot be read.
    pub fn write(&self) -> Result<Vec<u8>> {
        self.check()?;
        let document = Document { format: FORMAT, version: VERSION, base: &self.base, files: &self.files };
        let mut json = serde_json::to_vec_pretty(&document)
            .map_err(|error| Error::invalid_argument(format!("the manifest cannot be written: {error}")))?;
        json.push(b'\n');
        Ok(json)
    }

    /// The base files that the archive of `entry` names, in its order.
    pub fn base_of(&self, entry: &Entry) -> impl Iterator<Item = &File> {
        entry.base.iter().filter_map(|&number| self.base.get(number as usize))
    }

    /// The bytes of all files together.
    pub fn restored_bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.file.bytes).sum()
    }

    /// The bytes of all archives together.
    pub fn stored_bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.archive.bytes).sum()
    }

    fn check(&self) -> Result<()> {
        for count in [self.base.len(), self.files.len()] {
            if count > MAX_FILES {
                return Err(
                    Error::limit("the manifest has too many files").figures(format_args!("at most {MAX_FILES}"), count)
                );
            }
        }
        if self.files.is_empty() {
            return Err(Error::corrupt("the manifest has no files"));
        }
        check_paths(self.files.iter().map(|entry| entry.file.path.as_str()))?;
        let archives = self.files.iter().map(|entry| entry.archive.path.as_str());
        check_paths(archives.chain([MANIFEST]))?;
        self.check_base_paths()?;
        self.check_lengths()?;
        self.files.iter().try_for_each(|entry| self.check_base(entry))
    }

    /// Checks the paths of the base files, which are names only: nothing is written there.
    fn check_base_paths(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for File { path, .. } in &self.base {
            check_path(path)?;
            if !seen.insert(path) {
                return Err(Error::corrupt(format!("two base files have the path {}", Quoted(path))));
            }
        }
        Ok(())
    }

    /// Checks that no sum of lengths overflows.
    fn check_lengths(&self) -> Result<()> {
        let lengths = self.files.iter().flat_map(|entry| [entry.file.bytes, entry.archive.bytes]);
        let all = lengths.chain(self.base.iter().map(|file| file.bytes));
        let sum = all.fold(0u64, u64::saturating_add);
        match i64::try_from(sum) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::limit("the manifest's files are too long").figures("less than 2^63 bytes", sum)),
        }
    }

    /// Checks the numbers of an entry's base files.
    fn check_base(&self, entry: &Entry) -> Result<()> {
        let mut seen = HashSet::new();
        match entry.base.iter().find(|&&number| number as usize >= self.base.len() || !seen.insert(number)) {
            Some(number) => Err(Error::corrupt(format!(
                "the manifest names a base file that does not exist, or names it twice, for {}",
                Quoted(&entry.file.path)
            ))
            .figures(format_args!("different numbers below {}", self.base.len()), number)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

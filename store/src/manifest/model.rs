//! The manifest of a model: its files by their paths.

use serde::{Deserialize, Serialize};

use super::{ModelName, VERSION, check_path};
use crate::error::{Error, Result};
use crate::keys::{self, ObjectId};
use crate::sealed;

/// A published model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub(crate) version: u32,
    /// The name of the model.
    pub name: ModelName,
    /// The files, ordered by path.
    pub files: Vec<FileEntry>,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// The path of the file in the model, with `/` as separator.
    pub path: String,
    /// The length in bytes.
    pub length: u64,
    /// The id of the file's manifest, whose digest is the BLAKE3 digest of the file.
    #[serde(rename = "file")]
    pub id: ObjectId,
}

impl Model {
    pub(crate) fn new(name: ModelName, mut files: Vec<FileEntry>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { version: VERSION, name, files }
    }

    pub(crate) fn parse(key: &str, bytes: &[u8]) -> Result<Self> {
        let model: Self = serde_json::from_slice(&sealed::body(key, bytes)?).map_err(|e| Error::damaged(key, e))?;
        if model.version != VERSION {
            return Err(Error::unsupported(key, model.version));
        }
        // The paths of a damaged or forged manifest must not lead out of the folder that the model
        // is restored to.
        model.files.iter().try_for_each(|file| check_path(&file.path)).map_err(|e| Error::damaged(key, e))?;
        if keys::model_of(key).is_some_and(|name| name != model.name) {
            return Err(Error::damaged(key, format!("the manifest is that of {}", model.name)));
        }
        Ok(model)
    }

    /// The file at `path`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn file(&self, path: &str) -> Result<&FileEntry> {
        let found = self.files.iter().find(|file| file.path == path);
        found.ok_or_else(|| Error::NotFound(format!("file {path:?} in {}", self.name)))
    }

    /// The total length of all files in bytes.
    pub fn length(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }
}

//! The local files of a model that is added to the store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bitx::io::ReadAt;
use bitx_host::InputFile;
use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::manifest::{check_path, check_paths};

/// A local file to add to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path that the file will have in the model, with `/` as separator.
    pub path: String,
    /// The path of the local file.
    pub file: PathBuf,
}

/// Lists the files of a model: those in `paths`, and all files in the folders in `paths`. A file of
/// a folder keeps its path inside the folder.
///
/// Symbolic links to files are followed, because the caches of hubs use them. Links to folders and
/// folders whose names begin with a dot are left out.
///
/// # Errors
/// Files and folders that cannot be read; two files with the same path; no file at all.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for path in paths {
        if fs::metadata(path).map_err(Error::file(path))?.is_dir() {
            walk(path, "", &mut found)?;
        } else {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            found.push(Source { path: name, file: path.clone() });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    for source in &found {
        check_path(&source.path)?;
    }
    check_paths(found.iter().map(|source| source.path.as_str()))?;
    if found.is_empty() { Err(Error::Argument("there are no files to add".to_owned())) } else { Ok(found) }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
        let entry = entry.map_err(Error::file(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(Error::file(entry.path()))?;
        if kind.is_dir() {
            if !name.starts_with('.') {
                walk(&entry.path(), &format!("{path}/"), found)?;
            }
        } else if fs::metadata(entry.path()).map_err(Error::file(entry.path()))?.is_file() {
            found.push(Source { path, file: entry.path() });
        }
    }
    Ok(())
}

/// An open local file, with buffers that are used again.
#[derive(Debug)]
pub(super) struct LocalFile {
    file: InputFile,
    path: PathBuf,
    /// The buffers that were [given back](Self::give_back). They avoid the page faults of new
    /// buffers, which have megabytes.
    spare: Mutex<Vec<BytesMut>>,
}

impl LocalFile {
    /// Opens the file.
    ///
    /// # Errors
    /// `File`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = InputFile::open(path).map_err(Error::file(path))?;
        Ok(Self { file, path: path.to_owned(), spare: Mutex::default() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's reader.
    pub(super) fn input(&self) -> &InputFile {
        &self.file
    }

    pub(super) fn length(&self) -> u64 {
        self.file.len()
    }

    /// Reads the bytes in `range`.
    pub(super) fn read(&self, range: std::ops::Range<u64>) -> Result<Bytes> {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        let mut bytes = spare.unwrap_or_default();
        bytes.resize((range.end - range.start) as usize, 0);
        self.file.read_at(range.start, &mut bytes).map_err(Error::file(&self.path))?;
        Ok(bytes.freeze())
    }

    /// Takes back a buffer that [`read`](Self::read) returned, unless another owner still holds it.
    pub(super) fn give_back(&self, bytes: Bytes) {
        if let (Ok(bytes), Ok(mut spare)) = (bytes.try_into_mut(), self.spare.lock()) {
            spare.push(bytes);
        }
    }
}

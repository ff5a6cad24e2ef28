//! The files of this machine that are added to the store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bitx::io::ReadAt;
use bitx_host::InputFile;
use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::manifest::check_path;

/// A file to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it will be in the model, with `/`.
    pub path: String,
    /// Where it is now.
    pub file: PathBuf,
}

/// The files of a model: those named, and all in the folders named, by their paths in those.
///
/// Links to files are followed, as caches of hubs have them; links to folders are not, and what begins with a dot in a
/// folder is left out unless it is a file.
///
/// # Errors
/// What cannot be read; the same path twice.
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
    match found.windows(2).find(|pair| pair[0].path == pair[1].path) {
        Some(pair) => Err(Error::Argument(format!("two files are called {:?}", pair[0].path))),
        None if found.is_empty() => Err(Error::Argument("there are no files to add".to_owned())),
        None => Ok(found),
    }
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

/// An open file of a model, with buffers for its reads.
#[derive(Debug)]
pub(super) struct LocalFile {
    file: InputFile,
    path: PathBuf,
    /// Buffers that were [given back](Self::give_back). New buffers of megabytes would cost the system a page fault for
    /// each page.
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

    /// The bytes of `range`.
    pub(super) fn read(&self, range: std::ops::Range<u64>) -> Result<Bytes> {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        let mut bytes = spare.unwrap_or_default();
        bytes.resize((range.end - range.start) as usize, 0);
        self.file.read_at(range.start, &mut bytes).map_err(Error::file(&self.path))?;
        Ok(bytes.freeze())
    }

    /// Takes a buffer of [`read`](Self::read) back, unless another owner still holds it.
    pub(super) fn give_back(&self, bytes: Bytes) {
        if let (Ok(bytes), Ok(mut spare)) = (bytes.try_into_mut(), self.spare.lock()) {
            spare.push(bytes);
        }
    }
}

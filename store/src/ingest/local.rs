//! The local files of a model that is added to the store.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bitx::io::ReadAt;
use bitx_host::InputFile;
use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};

/// A local file to add to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path that the file will have in the model, with `/` as separator.
    pub path: String,
    /// The path of the local file.
    pub file: PathBuf,
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

//! Files on this machine, which are read at places.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bitx::io::ReadAt;
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

/// An open file, read by position and never mapped: one that shrinks meanwhile is an error, not a fault.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    path: PathBuf,
    length: u64,
    /// Buffers that were [given back](Self::give_back): new ones of megabytes cost the system a page fault for each page.
    spare: Mutex<Vec<BytesMut>>,
}

impl LocalFile {
    /// Opens it.
    ///
    /// # Errors
    /// `File`.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok(Self { file, path: path.to_owned(), length, spare: Mutex::default() })
        };
        open().map_err(Error::file(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of `range`.
    pub(super) fn read(&self, range: std::ops::Range<u64>) -> Result<Bytes> {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        let mut bytes = spare.unwrap_or_default();
        bytes.resize((range.end - range.start) as usize, 0);
        self.read_at(range.start, &mut bytes).map_err(Error::file(&self.path))?;
        Ok(bytes.freeze())
    }

    /// Takes back what was read, unless others still hold it.
    pub(super) fn give_back(&self, bytes: Bytes) {
        if let (Ok(bytes), Ok(mut spare)) = (bytes.try_into_mut(), self.spare.lock()) {
            spare.push(bytes);
        }
    }
}

impl ReadAt for LocalFile {
    fn len(&self) -> u64 {
        self.length
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    offset += read as u64;
                    buffer = &mut buffer[read..];
                }
            }
        }
        Ok(())
    }
}

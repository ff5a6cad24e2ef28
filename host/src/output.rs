//! Output files that appear when they are complete, or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// An output file that is written under a temporary name in its folder, and renamed when it is
/// complete. Dropping it before [`publish`](Self::publish) deletes the temporary file.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    temporary: TempPath,
    path: PathBuf,
}

impl WholeFile {
    /// Creates the temporary file, in the folder of `path`.
    ///
    /// # Errors
    /// Those of the system, which do not name the temporary file; `InvalidInput` for a path without
    /// a file name.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        // The file has the usual permissions of a new one: 0666 minus the umask.
        let open = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
        let named = tempfile::Builder::new().prefix(&prefix).suffix(".part").make_in(folder_of(path), open)?;
        let (file, temporary) = named.into_parts();
        Ok(Self { file, temporary, path: path.to_owned() })
    }

    /// The path of the temporary file.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// A second handle of the file, for a writer that must own one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the complete file its final name. An existing file is replaced only if `replace` is
    /// set. With `sync`, it returns when both content and name are on the disk.
    ///
    /// # Errors
    /// Those of the system; `AlreadyExists` if the file exists and `replace` is not set.
    pub fn publish(self, replace: bool, sync: bool) -> io::Result<()> {
        if sync {
            self.file.sync_all()?;
        }
        let named =
            if replace { self.temporary.persist(&self.path) } else { self.temporary.persist_noclobber(&self.path) };
        named.map_err(|e| e.error)?;
        if sync { sync_folder(&self.path) } else { Ok(()) }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes the folder of `path` to the disk. Without it, a rename may be lost in a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_when_it_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.publish(false, true).unwrap();
        assert_eq!((std::fs::read(&path).unwrap().as_slice(), names(folder.path()).len()), (&b"whole"[..], 1));
    }

    #[test]
    fn a_dropped_file_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        drop(WholeFile::create(&folder.path().join("model")).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn an_error_does_not_name_the_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let refused = WholeFile::create(&folder.path().join("none/model")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        assert!(!refused.to_string().contains(".part"), "{refused}");
    }

    #[test]
    fn an_existing_file_is_replaced_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        std::fs::write(&path, b"old").unwrap();
        let refused = WholeFile::create(&path).unwrap().publish(false, false).unwrap_err();
        assert_eq!(
            (refused.kind(), std::fs::read(&path).unwrap().as_slice()),
            (io::ErrorKind::AlreadyExists, &b"old"[..])
        );
        WholeFile::create(&path).unwrap().publish(true, false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }
}

//! The folder of a server's temporary files. If a server is killed, the next one to start removes
//! its folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

const PREFIX: &str = "bitx-serve-";
const LOCK: &str = "lock";

/// The age in which a folder may have no lock yet, because its server has just created it.
const YOUNG: Duration = Duration::from_secs(60);

/// A server's folder of temporary files, which is removed with this value.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: TempDir,
    /// A file that is locked while the server lives. The system releases the lock even if the
    /// server is killed.
    _lock: File,
}

impl Spool {
    /// Creates the folder in `parent`, and removes the folders of killed servers.
    ///
    /// # Errors
    /// A folder that cannot be created or locked.
    pub(crate) fn open(parent: &Path) -> io::Result<Self> {
        remove_dead(parent)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    /// Removes the folder with all its files.
    pub(crate) fn clear(&self) {
        if let Err(error) = fs::remove_dir_all(self.folder.path()) {
            tracing::warn!(%error, "temporary files could not be removed");
        }
    }

    /// Creates a file that is deleted when it is dropped.
    pub(crate) fn file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.folder.path())
    }

    /// Creates a folder that is deleted when it is dropped.
    pub(crate) fn folder(&self) -> io::Result<TempDir> {
        TempDir::new_in(self.folder.path())
    }
}

/// Removes the folders of killed servers.
fn remove_dead(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        // Errors are only logged: another server may be removing the folder too, or it may belong
        // to another user.
        match is_dead(&entry.path()) {
            Ok(true) => match fs::remove_dir_all(entry.path()) {
                Ok(()) => tracing::info!(folder = %entry.path().display(), "removed the folder of a killed server"),
                Err(error) => tracing::warn!(%error, folder = %entry.path().display(), "a folder cannot be removed"),
            },
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, folder = %entry.path().display(), "a folder cannot be examined"),
        }
    }
    Ok(())
}

/// Returns `true` if no server holds the lock of the folder.
fn is_dead(folder: &PathBuf) -> io::Result<bool> {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => Ok(lock.try_lock().is_ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(fs::metadata(folder)?.modified()?.elapsed().unwrap_or_default() > YOUNG)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_killed_servers_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let living = Spool::open(parent.path()).unwrap();
        let dead = parent.path().join("bitx-serve-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("upload"), "bytes").unwrap();
        fs::create_dir(parent.path().join("another")).unwrap();
        let other = Spool::open(parent.path()).unwrap();
        assert!(!dead.exists() && living.folder.path().exists() && parent.path().join("another").exists());
        let path = other.folder.path().to_owned();
        drop(other);
        assert!(!path.exists());
    }
}

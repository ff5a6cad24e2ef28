//! Temporary files: in a folder of this server's own, which whoever starts next removes if it was killed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

const PREFIX: &str = "bitx-serve-";
const LOCK: &str = "lock";

/// A folder without a lock may be one whose owner has just made it.
const YOUNG: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Spool {
    folder: TempDir,
    /// Locked while this server lives, however it dies.
    _lock: File,
}

impl Spool {
    /// # Errors
    /// A folder that cannot be made or locked.
    pub(crate) fn open(parent: &Path) -> io::Result<Self> {
        remove_dead(parent)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    /// Removes all of it.
    pub(crate) fn clear(&self) {
        if let Err(error) = fs::remove_dir_all(self.folder.path()) {
            tracing::warn!(%error, "temporary files are left");
        }
    }

    /// A new file, which goes when it is dropped.
    pub(crate) fn file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.folder.path())
    }

    /// A new folder, which goes when it is dropped.
    pub(crate) fn folder(&self) -> io::Result<TempDir> {
        TempDir::new_in(self.folder.path())
    }
}

fn remove_dead(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        // Another server may be removing it as well, or have it from another user.
        match is_dead(&entry.path()) {
            Ok(true) => match fs::remove_dir_all(entry.path()) {
                Ok(()) => tracing::info!(folder = %entry.path().display(), "removed what a killed server left"),
                Err(error) => tracing::warn!(%error, folder = %entry.path().display(), "cannot be removed"),
            },
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, folder = %entry.path().display(), "cannot be looked at"),
        }
    }
    Ok(())
}

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
    fn the_dead_are_removed_and_the_living_are_not() {
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

//! Leftovers in a folder that listings do not show: the half-written files of killed writers
//! (`NAME#1`), and empty folders.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use crate::error::{Error, Result};

/// Removes the leftovers in `folder` that have not changed since `before`. Returns the number of
/// files removed.
pub(super) async fn remove(folder: PathBuf, before: SystemTime) -> Result<u64> {
    let path = folder.clone();
    let removed = tokio::task::spawn_blocking(move || walk(&folder, before)).await;
    removed.map_err(io::Error::other).and_then(|removed| removed).map_err(Error::file(path))
}

fn walk(folder: &Path, before: SystemTime) -> io::Result<u64> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            // A new folder may belong to a writer that is about to write into it.
            let is_old = entry.metadata()?.modified()? < before;
            removed += unless_gone(walk(&entry.path(), before))?.unwrap_or(0);
            if is_old {
                // This fails if the folder is not empty, as intended.
                let _ = fs::remove_dir(entry.path());
            }
        } else if is_staged(&entry.path()) && entry.metadata()?.modified()? < before {
            removed += u64::from(unless_gone(fs::remove_file(entry.path()))?.is_some());
        }
    }
    Ok(removed)
}

/// Returns `true` for the name of a half-written file: it ends in `#` and digits.
fn is_staged(path: &Path) -> bool {
    let suffix = path.file_name().and_then(|name| name.to_str()?.split_once('#')).map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Turns `NotFound` into `None`, since other processes remove files at the same time.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn old_leftovers_are_removed_and_files_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["empty/deep", "left", "used"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for name in ["left/a#1", "used/a", "used/a#b"] {
            fs::write(path(name), "bytes").unwrap();
        }
        let (past, future) = (SystemTime::now() - Duration::from_secs(60), SystemTime::now() + Duration::from_secs(60));
        assert_eq!(remove(folder.path().to_owned(), past).await.unwrap(), 0);
        assert!(path("empty/deep").exists() && path("left/a#1").exists());
        assert_eq!(remove(folder.path().to_owned(), future).await.unwrap(), 1);
        assert!(!path("empty").exists() && !path("left").exists());
        assert!(path("used/a").exists() && path("used/a#b").exists());
    }
}

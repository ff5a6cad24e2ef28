//! Leftovers in a folder that listings do not show: the half-written files of killed writers
//! (`NAME#1`), and empty folders.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use crate::error::{Error, Result};
use crate::keys;

/// Removes the leftovers below the store's own folders in `root` that have not changed since
/// `before`. Returns the number of files removed.
pub(super) async fn remove(root: PathBuf, before: SystemTime) -> Result<u64> {
    let path = root.clone();
    let removed = tokio::task::spawn_blocking(move || walk(&root, "", before)).await;
    removed.map_err(io::Error::other).and_then(|removed| removed).map_err(Error::file(path))
}

/// Removes the leftovers in the folder `key` of `root`. Whatever has another name than the store
/// gives is not the store's.
fn walk(root: &Path, key: &str, before: SystemTime) -> io::Result<u64> {
    let mut removed = 0;
    for entry in fs::read_dir(root.join(key))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let key = if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
        let Some(metadata) = unless_gone(entry.metadata())? else { continue };
        let is_old = metadata.modified()? < before;
        if metadata.is_dir() && keys::is_folder(&key) {
            removed += unless_gone(walk(root, &key, before))?.unwrap_or(0);
            // A new folder may belong to a writer that is about to write into it.
            if is_old {
                // This fails if the folder is not empty, as intended.
                let _ = fs::remove_dir(entry.path());
            }
        } else if metadata.is_file() && is_old && is_staged(&key) {
            removed += u64::from(unless_gone(fs::remove_file(entry.path()))?.is_some());
        }
    }
    Ok(removed)
}

/// Returns `true` for the key of a half-written object: its own key, `#` and digits.
fn is_staged(key: &str) -> bool {
    key.rsplit_once('#').is_some_and(|(key, number)| {
        keys::is_own(key) && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
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
    async fn old_leftovers_are_removed_and_all_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let place = |kind: &str| format!("{kind}/ab/{}", "0".repeat(62));
        let (left, used, empty) = (place("pieces"), place("files"), place("sketches"));
        for name in [&left, &used, &empty, "models/org/m", "photos/2024", "pieces/inner", "C", "models/a/b/c"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        let staged = format!("{left}/3#1");
        let kept = [&format!("{used}/0"), &format!("{used}/0#b"), "C#1", "pieces/draft#2", "notes#3", "models/x#1"];
        for name in kept.into_iter().chain([staged.as_str(), "gc/clock#1"]) {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), "bytes").unwrap();
        }
        let (past, future) = (SystemTime::now() - Duration::from_secs(60), SystemTime::now() + Duration::from_secs(60));
        assert_eq!(remove(folder.path().to_owned(), past).await.unwrap(), 0);
        assert!(path(&staged).exists() && path(&empty).exists());
        assert_eq!(remove(folder.path().to_owned(), future).await.unwrap(), 2);
        assert!(!path(&left).exists() && !path(&empty).exists() && !path("models/org").exists());
        for name in kept.into_iter().chain(["photos/2024", "pieces/inner", "C", "models/a/b/c"]) {
            assert!(path(name).exists(), "{name}");
        }
    }
}

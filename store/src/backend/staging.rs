//! Files that a killed writer left beside what it was writing: `NAME#1`, which no listing shows.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use crate::error::{Error, Result};

/// Removes those under `folder` that nobody has written to since `before`; returns their number.
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
            removed += unless_gone(walk(&entry.path(), before))?.unwrap_or(0);
        } else if is_staged(&entry.path()) && entry.metadata()?.modified()? < before {
            removed += u64::from(unless_gone(fs::remove_file(entry.path()))?.is_some());
        }
    }
    Ok(removed)
}

fn is_staged(path: &Path) -> bool {
    let suffix = path.file_name().and_then(|name| name.to_str()?.split_once('#')).map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Others write and remove at the same time.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

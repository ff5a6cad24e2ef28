//! The paths of a folder's files, which must stay in the folder on every system.

use std::collections::HashSet;

use crate::error::{Error, Result};

/// Maximum length of a path in bytes.
const LONGEST: usize = 1024;

/// Checks the path of a file in a folder: it must be relative, use `/` as separator, and stay in
/// the folder on every system.
///
/// # Errors
/// `Corrupt`, with the path in the message.
pub fn check_path(path: &str) -> Result<()> {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.contains(['\\', ':']) && !part.chars().any(char::is_control)
    };
    if path.len() <= LONGEST && path.split('/').all(plain) {
        return Ok(());
    }
    Err(Error::corrupt(format!("not a path of a file in a folder: {path:?}; paths are relative and have `/`")))
}

/// Checks the paths of all files in a folder. No two may be the same, or differ only in case,
/// which many systems do not tell apart, and none may be a folder of another.
///
/// # Errors
/// `Corrupt`, with the path in the message.
pub fn check_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let (mut files, mut folders) = (HashSet::new(), HashSet::new());
    for path in paths {
        check_path(path)?;
        let key = path.to_lowercase();
        // A folder that is known has known folders around it.
        for (at, _) in key.rmatch_indices('/') {
            if !folders.insert(key[..at].to_owned()) {
                break;
            }
        }
        if !files.insert(key) {
            return Err(Error::corrupt(format!("two files have the path {path:?}, or differ from it only in case")));
        }
    }
    match files.intersection(&folders).next() {
        Some(path) => Err(Error::corrupt(format!("the path {path:?} is both a file and a folder"))),
        None => Ok(()),
    }
}

//! The paths of a folder's files, which must stay in the folder on every system.

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
    let mut all = Vec::new();
    for path in paths {
        check_path(path)?;
        // The separator comes before all other characters, so that the files of a folder follow the
        // file that has the folder's path.
        all.push((path.to_lowercase().replace('/', "\0"), path));
    }
    all.sort_unstable();
    for pair in all.windows(2) {
        let [(before, file), (key, path)] = pair else { continue };
        match key.strip_prefix(before.as_str()) {
            Some("") => {
                let message = format!("two files have the path {path:?}, or differ from it only in case");
                return Err(Error::corrupt(message));
            }
            Some(inside) if inside.starts_with('\0') => {
                return Err(Error::corrupt(format!("the path {file:?} is both a file and a folder")));
            }
            _ => {}
        }
    }
    Ok(())
}

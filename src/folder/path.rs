//! The paths of a folder's files, which must stay in the folder on every system.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::quoted::Quoted;

/// Maximum length of a path in bytes.
const LONGEST: usize = 1024;

/// The length of the longest name of a file on most systems, in bytes.
const LONGEST_NAME: usize = 255;

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
    Err(Error::corrupt(format!("not a path of a file in a folder: {}; paths are relative and have `/`", Quoted(path))))
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
                let message = format!("two files have the path {}, or differ from it only in case", Quoted(path));
                return Err(Error::corrupt(message));
            }
            Some(inside) if inside.starts_with('\0') => {
                return Err(Error::corrupt(format!("the path {} is both a file and a folder", Quoted(file))));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The paths of the archives of the files at `paths`: those of the files with `.bitx` behind them.
/// A path that is too long then, or that is a folder's, is replaced by a number.
pub fn archive_paths(paths: &[&str]) -> Vec<String> {
    let usual = |path: &str| format!("{path}.bitx");
    let mut folders = HashSet::new();
    for path in paths {
        let key = path.to_lowercase();
        folders.extend(key.match_indices('/').map(|(at, _)| key[..at].to_owned()));
    }
    let mut taken: HashSet<String> = paths.iter().map(|path| usual(path).to_lowercase()).collect();
    taken.extend(folders.iter().cloned());
    let mut numbered = (1u32..).map(|number| format!("{number}.bitx"));
    let archive = |path: &&str| {
        let archive = usual(path);
        let longest = archive.split('/').map(str::len).max().unwrap_or(0);
        if longest <= LONGEST_NAME && archive.len() <= LONGEST && !folders.contains(&archive.to_lowercase()) {
            return archive;
        }
        numbered.find(|name| !taken.contains(name)).unwrap_or(archive)
    };
    paths.iter().map(archive).collect()
}

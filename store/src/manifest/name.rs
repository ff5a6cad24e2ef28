//! The names of models and the paths of their files, which must be safe as keys and as paths.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The maximum length of a part of a name, in characters.
const LONGEST: usize = 96;

/// The name of a model: `model` or `org/model`. Each part has at most 96 ASCII letters, digits,
/// `.`, `_` and `-`, does not begin with a dot and does not end in `.json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = name.split('/').collect();
        let plain = |part: &&str| is_plain(part) && !part.ends_with(".json");
        if parts.len() <= 2 && parts.iter().all(plain) {
            return Ok(Self(name.to_owned()));
        }
        Err(Error::Argument(format!(
            "not a name of a model: {name:?}; use `model` or `org/model` of letters, digits, `.`, `_` and `-`"
        )))
    }
}

impl TryFrom<String> for ModelName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(part: &str) -> bool {
    let characters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    characters && !part.starts_with('.') && !part.is_empty() && part.len() <= LONGEST
}

/// Checks the path of a file in a model: it must be relative, use `/` as separator, and stay in its
/// folder on every system.
///
/// # Errors
/// `Argument`, with the path in the message.
pub fn check_path(path: &str) -> Result<(), Error> {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']) && !part.chars().any(char::is_control)
    };
    if path.len() <= 1024 && path.split('/').all(plain) {
        return Ok(());
    }
    Err(Error::Argument(format!("not a path of a file in a model: {path:?}; use a relative path with `/`")))
}

/// Checks that no two files of a model have the same path, and that no file has the path of a
/// folder that another one is in.
///
/// # Errors
/// `Argument`, with the path in the message.
pub(crate) fn check_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    let paths: Vec<&str> = paths.into_iter().collect();
    let files: HashSet<&str> = paths.iter().copied().collect();
    if files.len() < paths.len() {
        let mut seen = HashSet::new();
        let twice = paths.iter().find(|path| !seen.insert(**path)).copied().unwrap_or_default();
        return Err(Error::Argument(format!("two files have the path {twice:?}")));
    }
    let folders = |path: &'a str| path.match_indices('/').map(move |(at, _)| &path[..at]);
    match paths.iter().copied().flat_map(folders).find(|folder| files.contains(folder)) {
        Some(path) => Err(Error::Argument(format!("{path:?} is both a file and a folder of the model"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for name in ["model", "org/model", "Qwen/Qwen3-0.6B", "a_b/c.d"] {
            assert_eq!(name.parse::<ModelName>().unwrap().as_str(), name);
        }
        for name in ["", "/", "a/", "/a", "a/b/c", "..", "../a", "a/..", ".a", "a b", "a%2fb", "a\0", "a/b.json", "é"]
        {
            assert!(name.parse::<ModelName>().is_err(), "{name:?}");
        }
        assert!("a".repeat(LONGEST + 1).parse::<ModelName>().is_err());
    }

    #[test]
    fn a_path_is_a_file_or_a_folder() {
        check_paths(["a", "a.b/c", "b/a", "b/c"]).unwrap();
        for paths in [["a", "a"], ["a", "a/b"], ["a/b/c", "a"], ["x/y", "x/y/z/w"]] {
            assert!(check_paths(paths).is_err(), "{paths:?}");
        }
    }

    #[test]
    fn paths_cannot_leave_their_folder() {
        for path in ["model.safetensors", "onnx/model.onnx", ".gitattributes", "weights (1).bin", "é"] {
            check_path(path).unwrap();
        }
        for path in ["", "/etc/passwd", "../a", "a/../b", "a//b", "a/", "C:/a", "a\\b", "a\0b", "./a", "a\nb"] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }
}

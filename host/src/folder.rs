//! Output folders that appear when they are complete, or not at all.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The folder inside the temporary one that gets the final name. It has the usual permissions of a
/// new folder, which the temporary one does not have.
const CONTENT: &str = "new";

/// The former folder, while the new one takes its name.
const FORMER: &str = "old";

/// An output folder that is written under a temporary name beside its place, and renamed when it is
/// complete. Dropping it before [`publish`](Self::publish) deletes what was written.
#[derive(Debug)]
pub struct WholeFolder {
    temporary: TempDir,
    path: PathBuf,
    written: Vec<PathBuf>,
}

impl WholeFolder {
    /// Creates the temporary folder, beside `path`.
    ///
    /// # Errors
    /// Those of the system; `InvalidInput` for a path without a name.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(path.file_name().ok_or(ErrorKind::InvalidInput)?);
        let around = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !around.is_dir() {
            // The error of the system would name the temporary folder.
            return Err(ErrorKind::NotFound.into());
        }
        let temporary = tempfile::Builder::new().prefix(&prefix).suffix(".part").tempdir_in(around)?;
        fs::create_dir(temporary.path().join(CONTENT))?;
        Ok(Self { temporary, path: path.to_owned(), written: Vec::new() })
    }

    /// The path of the temporary folder.
    pub fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Creates a file at `path` inside the folder, and the folders around it. The path must be
    /// relative and must not leave the folder.
    ///
    /// # Errors
    /// Those of the system; `AlreadyExists` if there is such a file, also under a name that this
    /// system does not tell apart.
    pub fn file(&mut self, path: &str) -> io::Result<File> {
        let path = Path::new(path);
        let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            return Err(ErrorKind::InvalidInput.into());
        }
        let place = self.temporary.path().join(CONTENT).join(path);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options().write(true).create_new(true).open(&place)?;
        self.written.push(path.to_owned());
        Ok(file)
    }

    /// Gives the complete folder its final name. An existing folder is replaced if it is empty, or
    /// if `replace` is set and it has no file that the new one lacks. With `sync`, it returns when
    /// the files and their names are on the disk.
    ///
    /// # Errors
    /// Those of the system; `AlreadyExists` if a folder that must not be replaced, or a file, is
    /// there.
    pub fn publish(self, replace: bool, sync: bool) -> io::Result<()> {
        let content = self.temporary.path().join(CONTENT);
        if sync {
            self.written.iter().try_for_each(|file| File::open(content.join(file))?.sync_all())?;
            sync_folders(&content)?;
        }
        let former = self.temporary.path().join(FORMER);
        let exists = fs::symlink_metadata(&self.path).is_ok();
        if exists {
            if !(self.loses_nothing()? && (replace || is_empty(&self.path)?)) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            fs::rename(&self.path, &former)?;
        }
        if let Err(error) = fs::rename(&content, &self.path) {
            if exists {
                fs::rename(&former, &self.path)?;
            }
            return Err(error);
        }
        match self.path.parent().filter(|_| sync && cfg!(unix)) {
            Some(around) if around.as_os_str().is_empty() => File::open(".")?.sync_all(),
            Some(around) => File::open(around)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Tells whether the folder at the final path has only files that the new folder has as well.
    fn loses_nothing(&self) -> io::Result<bool> {
        let written: HashSet<&Path> = self.written.iter().map(PathBuf::as_path).collect();
        let has = |path: &Path| written.contains(path);
        fn all(folder: &Path, prefix: &Path, has: &dyn Fn(&Path) -> bool) -> io::Result<bool> {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let path = prefix.join(entry.file_name());
                let known = match entry.file_type()?.is_dir() {
                    true => all(&entry.path(), &path, has)?,
                    false => has(&path),
                };
                if !known {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        let meta = fs::symlink_metadata(&self.path)?;
        Ok(meta.is_dir() && all(&self.path, Path::new(""), &has)?)
    }
}

/// Tells whether a folder is empty.
fn is_empty(folder: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}

/// Writes a folder and those inside it to the disk.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn written(path: &Path, files: &[(&str, &str)]) -> WholeFolder {
        let mut folder = WholeFolder::create(path).unwrap();
        files.iter().for_each(|(name, text)| folder.file(name).unwrap().write_all(text.as_bytes()).unwrap());
        folder
    }

    #[test]
    fn a_folder_appears_when_it_is_published() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("model");
        let folder = written(&path, &[("a", "1"), ("sub/b", "2")]);
        assert!(!path.exists());
        folder.publish(false, true).unwrap();
        assert_eq!((names(&path), names(around.path())), (vec!["a".into(), "sub".into()], vec!["model".into()]));
        assert_eq!(fs::read(path.join("sub/b")).unwrap(), b"2");
        drop(written(&around.path().join("other"), &[("a", "1")]));
        assert_eq!(names(around.path()), ["model"]);
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        let around = tempfile::tempdir().unwrap();
        let mut folder = WholeFolder::create(&around.path().join("model")).unwrap();
        for path in ["../x", "/x", "a/../../x", "."] {
            assert_eq!(folder.file(path).unwrap_err().kind(), ErrorKind::InvalidInput, "{path}");
        }
        folder.file("a").unwrap();
        assert_eq!(folder.file("a").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(WholeFolder::create(&around.path().join("none/x")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_is_replaced_only_if_nothing_is_lost() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("model");
        fs::create_dir(&path).unwrap();
        written(&path, &[("a", "1"), ("sub/b", "2")]).publish(false, false).unwrap();
        let refused = |folder: WholeFolder, replace| folder.publish(replace, false).unwrap_err().kind();
        assert_eq!(refused(written(&path, &[("a", "3"), ("sub/b", "4")]), false), ErrorKind::AlreadyExists);
        assert_eq!(refused(written(&path, &[("a", "3")]), true), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
        written(&path, &[("a", "3"), ("sub/b", "4"), ("c", "5")]).publish(true, false).unwrap();
        assert_eq!(
            (fs::read(path.join("sub/b")).unwrap(), names(around.path())),
            (b"4".to_vec(), vec!["model".into()])
        );
        fs::write(around.path().join("file"), "x").unwrap();
        assert_eq!(refused(written(&around.path().join("file"), &[("a", "")]), true), ErrorKind::AlreadyExists);
    }
}

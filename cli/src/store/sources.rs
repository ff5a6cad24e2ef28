//! The files of a model that is added: those that a line names, and those in the folders that it
//! names.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bitx_host::InputFile;
use bitx_store::{Source, check_path};

use crate::args::Global;
use crate::fault::Fault;
use crate::warning::warn;
use crate::{mistakes, output, words};

/// The folders that tools keep beside a model's files and that are left out with a warning.
const LEFT_OUT: [&str; 4] = [".git", ".cache", ".hg", ".svn"];

/// Lists the files in `paths` and in the folders in `paths`, and warns about all that is left out
/// and about files that are mistaken for models. A file of a folder keeps its path inside the
/// folder. Links are followed, because the caches of hubs use them.
///
/// # Errors
/// Files and folders that cannot be read; names that a model cannot have; two files with the same
/// path; no file at all.
pub fn find(paths: &[PathBuf], global: &Global) -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    for path in paths {
        found.extend(self::found(path, global)?);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    if found.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(invalid(format!("{}: there are no files", named.join(", "))));
    }
    check(&found)?;
    Ok(found)
}

/// Lists the file `path`, or the files in that folder, as [`find`] does.
///
/// # Errors
/// Files and folders that cannot be read; names that a model cannot have.
pub fn found(path: &Path, global: &Global) -> anyhow::Result<Vec<Source>> {
    let mut search = Search { found: Vec::new(), around: Vec::new(), global };
    let meta = match fs::metadata(path) {
        Err(_) if path.as_os_str() == "-" => return Err(no_name(path)),
        meta => meta.with_context(|| path.display().to_string())?,
    };
    if meta.is_dir() {
        search.folder(path, "")?;
    } else if output::names_descriptor(path) {
        return Err(no_name(path));
    } else {
        let name = utf8(path, path.file_name().unwrap_or_default())?;
        search.file(path, name, &meta)?;
    }
    Ok(search.found)
}

/// The search for files.
struct Search<'a> {
    found: Vec<Source>,
    /// The folders around the current one, which a link must not lead to.
    around: Vec<PathBuf>,
    global: &'a Global,
}

impl Search<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<()> {
        let named = || folder.display().to_string();
        self.around.push(folder.canonicalize().with_context(named)?);
        for entry in fs::read_dir(folder).with_context(named)? {
            let path = entry.with_context(named)?.path();
            let name = utf8(&path, path.file_name().unwrap_or_default())?;
            self.entry(&path, &name, prefix)?;
        }
        self.around.pop();
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &str, prefix: &str) -> anyhow::Result<()> {
        let meta = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                let message = format!("{}: this is a link to a file that does not exist", path.display());
                return Err(Fault::named("io", message).into());
            }
            meta => meta.with_context(|| path.display().to_string())?,
        };
        if !meta.is_dir() && !meta.is_file() {
            self.leave_out(path, "it is a pipe or a device");
        } else if meta.is_file() {
            self.file(path, format!("{prefix}{name}"), &meta)?;
        } else if LEFT_OUT.contains(&name) {
            self.leave_out(path, "tools keep it beside models; add it by name if it belongs to this one");
        } else if self.around.contains(&path.canonicalize().with_context(|| path.display().to_string())?) {
            self.leave_out(path, "it is a link to a folder around it");
        } else {
            self.folder(path, &format!("{prefix}{name}/"))?;
        }
        Ok(())
    }

    fn leave_out(&self, path: &Path, reason: &str) {
        warn(self.global, &format!("{}: left out: {reason}", path.display()));
    }

    fn file(&mut self, path: &Path, name: String, meta: &Metadata) -> anyhow::Result<()> {
        check_path(&name)?;
        // A pipe can be read only once.
        if meta.is_file() {
            let file = InputFile::open(path).with_context(|| path.display().to_string())?;
            if let Some(kind) = mistakes::under_a_name(path, &file) {
                warn(self.global, &format!("{}: this is {kind}, and is stored as it is", words::input(path)));
            }
        }
        self.found.push(Source { path: name, file: path.to_owned() });
        Ok(())
    }
}

/// Checks that the files have different paths, and that none of them is a folder of others.
fn check(found: &[Source]) -> anyhow::Result<()> {
    if let Some(pair) = found.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(invalid(format!("two files have the path {:?}", pair[0].path)));
    }
    let is_file = |path: &str| found.binary_search_by(|source| source.path.as_str().cmp(path)).is_ok();
    let folders = |path: &str| path.match_indices('/').map(|(at, _)| at).collect::<Vec<_>>();
    for source in found {
        if let Some(at) = folders(&source.path).into_iter().find(|&at| is_file(&source.path[..at])) {
            return Err(invalid(format!("the path {:?} is both a file and a folder", &source.path[..at])));
        }
    }
    Ok(())
}

fn invalid(message: String) -> anyhow::Error {
    Fault::new(bitx::ErrorKind::InvalidArgument, message).into()
}

fn utf8(path: &Path, name: &OsStr) -> anyhow::Result<String> {
    let message = || format!("{}: the file's name is not UTF-8, so it could not be restored", path.display());
    Ok(name.to_str().ok_or_else(|| Fault::new(bitx::ErrorKind::InvalidArgument, message()))?.to_owned())
}

/// The error of an input without a name that a file of a model could have.
fn no_name(path: &Path) -> anyhow::Error {
    let path = words::input(path);
    let message = format!("{path}: a file of a model needs a name, and this input has none: write it to a file first");
    Fault::new(bitx::ErrorKind::InvalidArgument, message).into()
}

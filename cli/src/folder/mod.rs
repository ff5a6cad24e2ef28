//! Model folders: the files of a model, and the folders of archives that `compress` makes of them.

mod archives;
mod base;
mod compress;
mod index;
mod inspect;
mod output;
mod restore;

use std::path::{Path, PathBuf};

use bitx::folder::{Manifest, check_paths};
use bitx::layout::Kind;
use bitx::report::Report;
use bitx::{Error, ErrorKind};
use bitx_store::Source;

use crate::args::Global;
use crate::fault::Fault;
use crate::files::Input;
use crate::store::sources;
pub use base::{BaseFiles, Needed, layout};
pub use compress::{make, run as compress};
pub use inspect::{content, run as inspect};
pub use output::OutputFolder;
pub use restore::{decompress, restore, verified, verify};

/// A folder of archives as data.
#[derive(Debug)]
pub struct Folder {
    /// The manifest.
    pub manifest: Manifest,
    /// The content of the archive of each file, in the manifest's order.
    pub reports: Vec<Report>,
}

/// Tells whether one of `paths` is a folder.
pub fn any<P: AsRef<Path>>(paths: &[P]) -> bool {
    paths.iter().any(|path| path.as_ref().is_dir())
}

/// Lists the files of a model, sorted by path, and warns about what is left out and what its index
/// names in vain.
///
/// # Errors
/// Those of [`sources::find`]; paths that differ only in case.
pub fn files<P: AsRef<Path>>(paths: &[P], global: &Global) -> anyhow::Result<Vec<Source>> {
    let paths: Vec<_> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
    let found = sources::find(&paths, global)?;
    let all = check_paths(found.iter().map(|source| source.path.as_str()));
    all.map_err(|error| Fault::new(ErrorKind::InvalidArgument, error.to_string()))?;
    index::warn_of_missing(&found, global);
    Ok(found)
}

/// The paths of files: those in `paths`, and those in the folders in `paths` that have tensors.
///
/// # Errors
/// A folder without such a file.
pub fn models(paths: &[&Path], global: &Global) -> anyhow::Result<Vec<PathBuf>> {
    let mut models = Vec::new();
    for path in paths {
        if !path.is_dir() {
            models.push(path.to_path_buf());
            continue;
        }
        let before = models.len();
        for source in files(&[path], global)? {
            if layout(&Input::open(&source.file)?)?.kind != Kind::Bytes {
                models.push(source.file);
            }
        }
        let message = || format!("{}: no file of the folder has tensors", path.display());
        anyhow::ensure!(models.len() > before, Fault::new(ErrorKind::Format, message()));
    }
    Ok(models)
}

/// An error of the core about the file at `path`.
fn fault(path: &Path, error: &Error) -> Fault {
    Fault::new(error.kind(), format!("{}: {error}", path.display()))
}

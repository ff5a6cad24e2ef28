//! The functions of this library, for programs that bring the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitx::Format;
use serde_json::Value;

use crate::adapter;
use crate::args::{Global, Merge, Output};
use crate::caller::Caller;
use crate::checks::Checks;
use crate::fault::Failure;
use crate::files::Input;
use crate::folder::{self, Folder};
use crate::merge::{self, Merged};

/// The options of a call.
#[derive(Debug)]
pub struct Call {
    /// Number of threads, or one per core.
    pub threads: Option<u16>,
    /// Replaces an output that exists.
    pub replace: bool,
    /// The caller.
    pub caller: Arc<dyn Caller>,
}

impl Call {
    pub(crate) fn global(&self) -> Global {
        Global::called(self.threads, self.caller.clone())
    }

    fn output(&self, path: &Path) -> Output {
        Output { path: Some(path.to_owned()), force: self.replace, sync: false, called: true }
    }
}

/// Compares the model in the files `base` with `target`, as `bitx distance --json` does. `stop` is
/// asked between reads.
///
/// # Errors
/// Those of the command, and `stopped` once `stop` has returned true.
pub fn distance(
    base: &[&Path],
    target: &Path,
    threads: Option<u16>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Value, Failure> {
    crate::distance::to_json(base, target, &Global::silent(threads), stop).map_err(|error| Failure::of(&error))
}

/// Compresses the folder `target` against the files and folders of `base` into a folder of
/// archives.
///
/// # Errors
/// Those of `bitx compress`.
pub fn compress_folder(
    base: &[&Path],
    target: &Path,
    out: &Path,
    format: Format,
    call: &Call,
) -> Result<Folder, Failure> {
    let targets: [PathBuf; 1] = [target.to_owned()];
    folder::make(base, &targets, (out, &call.output(out)), format, &call.global()).map_err(|error| Failure::of(&error))
}

/// Restores the folder of archives `archive`. All files together have at most `most` bytes.
///
/// # Errors
/// Those of `bitx decompress`.
pub fn restore_folder(
    base: &[&Path],
    archive: &Path,
    out: &Path,
    most: Option<u64>,
    call: &Call,
) -> Result<Folder, Failure> {
    folder::restore(base, archive, (out, &call.output(out)), &Checks::limited(most), &call.global())
        .map_err(|error| Failure::of(&error))
}

/// Decodes a folder of archives, and checks every checksum.
///
/// # Errors
/// Those of `bitx verify`.
pub fn verify_folder(base: &[&Path], archive: &Path, call: &Call) -> Result<Folder, Failure> {
    let verified = folder::verified(base, archive, &Checks::limited(None), &call.global());
    verified.map(|(folder, _)| folder).map_err(|error| Failure::of(&error))
}

/// Lists the content of a folder of archives.
///
/// # Errors
/// Those of `bitx inspect`.
pub fn inspect_folder(archive: &Path) -> Result<Folder, Failure> {
    folder::content(archive).map_err(|error| Failure::of(&error))
}

/// Merges an adapter into the shards of the folder `base`, and copies its other files.
///
/// # Errors
/// Those of `bitx merge`.
pub fn merge_folder(base: &Path, adapter: &Path, out: &Path, call: &Call) -> Result<Merged, Failure> {
    let args = Merge { base: base.to_owned(), adapter: adapter.to_owned(), output: call.output(out) };
    merge::of_folder(&args, out, &call.global()).map_err(|error| Failure::of(&error))
}

/// The configuration beside the file `path`, if the file is an adapter that can be merged.
///
/// # Errors
/// Files that cannot be read.
pub fn adapter_config(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let global = Global::silent(None);
    Input::open(path).and_then(|input| adapter::config_of(&input, &global)).map_err(|error| Failure::of(&error))
}

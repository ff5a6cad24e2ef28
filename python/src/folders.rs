//! Model folders, by the code of the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitx_cli::{Call, Failure};
use pyo3::prelude::*;

use crate::fault::Fault;
use crate::files::format;
use crate::report::FolderContent;
use crate::watch::{Watch, watched};

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::named(failure.code, failure.message).at(failure.file)
    }
}

/// The options of a call that `watch` watches.
pub fn call(threads: Option<u16>, replace: bool, watch: &Arc<Watch>) -> Call {
    Call { threads, replace, caller: watch.clone() }
}

/// The paths as references.
pub fn paths(paths: &[PathBuf]) -> Vec<&Path> {
    paths.iter().map(PathBuf::as_path).collect()
}

/// Names the file at fault, if the message begins with one of `paths` or a file inside it.
pub fn done<T>(result: Result<T, Failure>, at_fault: &[&Path]) -> Result<T, Fault> {
    result.map_err(|failure| {
        let named = |path: &&&Path| failure.message.starts_with(&path.display().to_string());
        let found = at_fault.iter().find(named).and_then(|_| failure.message.split(": ").next());
        let file = failure.file.clone().or_else(|| found.map(str::to_owned));
        Fault::from(failure).at(file)
    })
}

/// Compresses the folder `target` against the files and folders of `base`.
#[pyfunction]
#[pyo3(signature = (base, target, out, *, effort, replace, threads, progress))]
#[allow(clippy::too_many_arguments)] // the options of one function of Python
pub fn compress_folder(
    py: Python<'_>,
    base: Vec<PathBuf>,
    target: PathBuf,
    out: PathBuf,
    effort: &str,
    replace: bool,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<FolderContent> {
    let format = format(effort, None)?;
    let base = paths(&base);
    let folder = watched(py, progress.as_ref(), |watch| {
        bitx_cli::compress_folder(&base, &target, &out, format, &call(threads, replace, watch))
    })?;
    Ok(done(folder, &[&base, &[target.as_path(), out.as_path()][..]].concat())?.into())
}

/// Restores the files of the folder of archives `archive`.
#[pyfunction]
#[pyo3(signature = (base, archive, out, *, replace, max_output, threads, progress))]
#[allow(clippy::too_many_arguments)] // the options of one function of Python
pub fn restore_folder(
    py: Python<'_>,
    base: Vec<PathBuf>,
    archive: PathBuf,
    out: PathBuf,
    replace: bool,
    max_output: Option<u64>,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<FolderContent> {
    let base = paths(&base);
    let folder = watched(py, progress.as_ref(), |watch| {
        bitx_cli::restore_folder(&base, &archive, &out, max_output, &call(threads, replace, watch))
    })?;
    Ok(done(folder, &[&base, &[archive.as_path(), out.as_path()][..]].concat())?.into())
}

/// Decodes the folder of archives `archive` without writing it.
#[pyfunction]
#[pyo3(signature = (base, archive, *, threads, progress))]
pub fn verify_folder(
    py: Python<'_>,
    base: Vec<PathBuf>,
    archive: PathBuf,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<FolderContent> {
    let base = paths(&base);
    let folder =
        watched(py, progress.as_ref(), |watch| bitx_cli::verify_folder(&base, &archive, &call(threads, false, watch)))?;
    Ok(done(folder, &[&base, &[archive.as_path()][..]].concat())?.into())
}

/// Lists the content of the folder of archives `archive`.
#[pyfunction]
pub fn inspect_folder(py: Python<'_>, archive: PathBuf) -> PyResult<FolderContent> {
    let folder = watched(py, None, |_| bitx_cli::inspect_folder(&archive))?;
    Ok(done(folder, &[&archive])?.into())
}

/// Merges the adapter at `adapter` into the shards of the folder `base`. Returns the number of
/// files, their bytes, and the names of the tensors that were changed.
#[pyfunction]
#[pyo3(signature = (base, adapter, out, *, replace, threads, progress))]
pub fn merge_folder(
    py: Python<'_>,
    base: PathBuf,
    adapter: PathBuf,
    out: PathBuf,
    replace: bool,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(usize, u64, Vec<String>)> {
    let merged = watched(py, progress.as_ref(), |watch| {
        bitx_cli::merge_folder(&base, &adapter, &out, &call(threads, replace, watch))
    })?;
    let merged = merged.map_err(Fault::from)?;
    Ok((merged.files, merged.bytes, merged.tensors))
}

//! The model store, by the code of the command line. Figures come back as JSON.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::files::effort;
use crate::folders::{call, done, paths};
use crate::watch::watched;

/// Adds files and folders as a model.
#[pyfunction]
#[pyo3(signature = (root, name, files, *, effort, threads, progress))]
pub fn store_add(
    py: Python<'_>,
    root: &str,
    name: Option<&str>,
    files: Vec<PathBuf>,
    effort: &str,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let effort = self::effort(effort)?;
    let added = watched(py, progress.as_ref(), |watch| {
        bitx_cli::store_add(root, name, &files, effort, &call(threads, false, watch))
    })?;
    Ok(done(added, &paths(&files))?.to_string())
}

/// Restores the files of a model.
#[pyfunction]
#[pyo3(signature = (root, name, out, *, replace, max_output, threads, progress))]
#[allow(clippy::too_many_arguments)] // the options of one function of Python
pub fn store_get(
    py: Python<'_>,
    root: &str,
    name: &str,
    out: PathBuf,
    replace: bool,
    max_output: Option<u64>,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let restored = watched(py, progress.as_ref(), |watch| {
        bitx_cli::store_get(root, name, &out, max_output, &call(threads, replace, watch))
    })?;
    Ok(done(restored, &[&out])?.to_string())
}

/// Surveys files and folders as a model.
#[pyfunction]
#[pyo3(signature = (name, files, *, threads, progress))]
pub fn store_survey(
    py: Python<'_>,
    name: Option<&str>,
    files: Vec<PathBuf>,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let survey =
        watched(py, progress.as_ref(), |watch| bitx_cli::store_survey(name, &files, &call(threads, false, watch)))?;
    Ok(done(survey, &paths(&files))?)
}

/// Makes a plan from surveys.
#[pyfunction]
#[pyo3(signature = (root, surveys, *, threads))]
pub fn store_plan(py: Python<'_>, root: &str, surveys: &str, threads: Option<u16>) -> PyResult<String> {
    let plan = watched(py, None, |watch| bitx_cli::store_plan(root, surveys, &call(threads, false, watch)))?;
    Ok(done(plan, &[])?)
}

/// Writes models of a plan.
#[pyfunction]
#[pyo3(signature = (root, plan, *, effort, threads, progress))]
pub fn store_write(
    py: Python<'_>,
    root: &str,
    plan: &str,
    effort: &str,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let effort = self::effort(effort)?;
    let written = watched(py, progress.as_ref(), |watch| {
        bitx_cli::store_write(root, plan, effort, &call(threads, false, watch))
    })?;
    Ok(done(written, &[])?.to_string())
}

/// Lists the models.
#[pyfunction]
pub fn store_ls(py: Python<'_>, root: &str) -> PyResult<String> {
    let models = watched(py, None, |watch| bitx_cli::store_ls(root, &call(None, false, watch)))?;
    Ok(done(models, &[])?.to_string())
}

/// Lists the files of a model.
#[pyfunction]
pub fn store_files(py: Python<'_>, root: &str, name: &str) -> PyResult<String> {
    let files = watched(py, None, |watch| bitx_cli::store_files(root, name, &call(None, false, watch)))?;
    Ok(done(files, &[])?.to_string())
}

/// Returns the figures of the store.
#[pyfunction]
pub fn store_stats(py: Python<'_>, root: &str) -> PyResult<String> {
    let stats = watched(py, None, |watch| bitx_cli::store_stats(root, &call(None, false, watch)))?;
    Ok(done(stats, &[])?.to_string())
}

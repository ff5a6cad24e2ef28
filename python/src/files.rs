//! Whole files: compressing, restoring, verifying, listing and comparing.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bitx::io::ReadAt;
use bitx::{Compress, Effort, ErrorKind, Format, Restore};
use bitx_host::{Stop, WholeFile};
use pyo3::prelude::*;

use crate::fault::Fault;
use crate::given::Given;
use crate::input::Input;
use crate::report::{Content, hex};
use crate::watch::watched;

/// The output file of a function: its path, and whether it may replace a file.
pub struct Output {
    pub path: PathBuf,
    pub replace: bool,
}

impl Output {
    /// Creates the file under a temporary name.
    pub fn create(&self, given: &Given) -> Result<WholeFile, Fault> {
        let named = |error: io::Error| self.named(error);
        if let Ok(path) = fs::canonicalize(&self.path) {
            if !self.replace {
                return Err(named(io::ErrorKind::AlreadyExists.into()));
            }
            let inputs =
                given.base.iter().chain(&given.delta).chain(&given.target).filter_map(|input| input.file.as_ref());
            if inputs.filter_map(|file| fs::canonicalize(file).ok()).any(|input| input == path) {
                let message = "the output is one of the inputs";
                return Err(Fault::new(ErrorKind::InvalidArgument, message).of(&self.label(), Some(&self.label())));
            }
        }
        WholeFile::create(&self.path).map_err(named)
    }

    pub fn publish(&self, file: WholeFile) -> Result<(), Fault> {
        file.publish(self.replace, false).map_err(|error| self.named(error))
    }

    fn named(&self, error: io::Error) -> Fault {
        Fault::io(error).of(&self.label(), Some(&self.label()))
    }

    fn label(&self) -> String {
        self.path.display().to_string()
    }
}

/// The format of a new archive: `level` asks for format v1, `effort` for v2.
pub fn format(effort: &str, level: Option<i32>) -> Result<Format, Fault> {
    match level {
        Some(level) => Ok(Format::V1 { level }),
        None => Ok(Format::V2 { effort: self::effort(effort)? }),
    }
}

/// The effort of this name.
pub fn effort(name: &str) -> Result<Effort, Fault> {
    match name {
        "fast" => Ok(Effort::Fast),
        "default" => Ok(Effort::Default),
        "max" => Ok(Effort::Max),
        _ => {
            let message = format!("no such effort: expected fast, default or max, found {name}");
            Err(Fault::new(ErrorKind::InvalidArgument, message))
        }
    }
}

/// The number of threads requested, or one per core.
pub fn threads(requested: Option<u16>) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    requested.map_or_else(all, |threads| usize::from(threads).max(1))
}

/// Compresses `target` against the files of `base`.
#[pyfunction]
#[pyo3(signature = (base, target, out, *, effort, level, replace, threads, progress))]
#[allow(clippy::too_many_arguments)] // the options of one function of Python
pub fn compress(
    py: Python<'_>,
    base: Vec<PyRef<'_, Input>>,
    target: &Bound<'_, Input>,
    out: PathBuf,
    effort: &str,
    level: Option<i32>,
    replace: bool,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Content> {
    let format = format(effort, level)?;
    let given = Given { base: cloned(&base), target: Some(target.get().clone()), delta: None };
    let output = Output { path: out, replace };
    let (report, file) = watched(py, progress.as_ref(), |watch| -> Result<_, Fault> {
        let mut file = output.create(&given)?;
        let mut job = compression(&given, format)?.job();
        given.drive(&mut job, self::threads(threads), &mut file, watch)?;
        Ok((job.report()?, file))
    })??;
    output.publish(file)?;
    Ok(report.into())
}

/// The compression of the target. A base file with an `adapter_config.json` beside it is an
/// adapter, if it can be merged.
fn compression(given: &Given, format: Format) -> Result<Compress, Fault> {
    let length = given.target.as_ref().map_or(0, |target| target.source.len());
    let mut compress = Compress::new(&given.base_lengths(), length, format)?;
    let adapters = matches!(format, Format::V2 { .. });
    for (number, base) in given.base.iter().enumerate().filter(|_| adapters) {
        let config = base.file.as_ref().map(|file| bitx_cli::adapter_config(Path::new(file)));
        if let Some(config) = config.transpose()?.flatten() {
            compress = compress.with_adapter(number, &config)?;
        }
    }
    Ok(compress)
}

fn cloned(inputs: &[PyRef<'_, Input>]) -> Vec<Input> {
    inputs.iter().map(|input| (**input).clone()).collect()
}

/// Restores the target of `archive`.
#[pyfunction]
#[pyo3(signature = (base, archive, out, *, replace, max_output, threads, progress))]
#[allow(clippy::too_many_arguments)] // the options of one function of Python
pub fn restore(
    py: Python<'_>,
    base: Vec<PyRef<'_, Input>>,
    archive: &Bound<'_, Input>,
    out: PathBuf,
    replace: bool,
    max_output: Option<u64>,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Content> {
    let (base, archive) = (cloned(&base), archive.get().clone());
    let output = Output { path: out, replace };
    let (report, file) = watched(py, progress.as_ref(), |watch| -> Result<_, Fault> {
        let given = Given::restoring(base, archive)?;
        let mut file = output.create(&given)?;
        let restore = Restore::new(&given.base_lengths(), given.archive_length());
        let mut job = restore.shared().max_output(max_output.unwrap_or(u64::MAX)).job();
        given.restore(&mut job, self::threads(threads), &mut file, watch)?;
        Ok((job.report()?, file))
    })??;
    output.publish(file)?;
    Ok(report.into())
}

/// Restores the target of `archive` without writing it. Returns its BLAKE3 digest, and the content
/// of the archive.
#[pyfunction]
#[pyo3(signature = (base, archive, *, threads, progress))]
pub fn verify(
    py: Python<'_>,
    base: Vec<PyRef<'_, Input>>,
    archive: &Bound<'_, Input>,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, Content)> {
    let (base, archive) = (cloned(&base), archive.get().clone());
    let (digest, report) = watched(py, progress.as_ref(), |watch| -> Result<_, Fault> {
        let given = Given::restoring(base, archive.clone())?;
        let mut digesting = Digesting::default();
        let mut job = Restore::new(&given.base_lengths(), given.archive_length()).shared().job();
        given.restore(&mut job, self::threads(threads), &mut digesting, watch)?;
        Ok((digesting.finish(), job.report()?))
    })??;
    check_digest(report.blake3, digest).map_err(|fault| archive.named(fault))?;
    Ok((hex(digest), report.into()))
}

/// Compares the digest of the restored file with the one that the archive states.
pub fn check_digest(stated: Option<[u8; 32]>, found: [u8; 32]) -> Result<(), Fault> {
    match stated.filter(|stated| *stated != found) {
        None => Ok(()),
        Some(stated) => {
            let (stated, found) = (hex(stated), hex(found));
            let message = format!(
                "the archive is damaged: the restored file has the wrong BLAKE3 digest: expected {stated}, found {found}"
            );
            Err(Fault::new(ErrorKind::Corrupt, message))
        }
    }
}

/// A writer that computes the digest of the bytes written to it and discards them.
#[derive(Default)]
pub struct Digesting(blake3::Hasher);

impl Digesting {
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lists the content of `archive`.
#[pyfunction]
pub fn inspect(py: Python<'_>, archive: &Bound<'_, Input>) -> PyResult<Content> {
    let given = Given { delta: Some(archive.get().clone()), ..Given::default() };
    Ok(watched(py, None, |watch| given.inspect(watch))??.into())
}

/// Compares two models. Returns the JSON object of `bitx distance --json`.
#[pyfunction]
#[pyo3(signature = (a, b, *, threads))]
pub fn distance(py: Python<'_>, a: Vec<PathBuf>, b: PathBuf, threads: Option<u16>) -> PyResult<String> {
    let all: Vec<&Path> = a.iter().map(PathBuf::as_path).collect();
    let compared = watched(py, None, |watch| bitx_cli::distance(&all, &b, threads, &|| watch.is_stopped()))?;
    let compared = compared.map_err(|failure| {
        let at_fault = a.iter().chain([&b]).map(|path| path.display().to_string());
        let file = at_fault.into_iter().find(|path| failure.message.starts_with(&format!("{path}:")));
        Fault::named(failure.code, failure.message).at(file)
    })?;
    Ok(compared.to_string())
}

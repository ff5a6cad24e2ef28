//! Runs a job over files, with threads, a progress bar, and errors that name the file.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, anyhow};
use bitx::Job;
use bitx::drive::{self, DriveError, Sources};
use bitx::io::Source;
use bitx::parallel::{Rayon, Runner, Sequential};
use bitx_host::pipeline::{self, Supply};
use indicatif::ProgressBar;

use crate::args::Global;
use crate::progress;

/// The paths of a job's inputs, used in error messages.
#[derive(Default)]
pub struct Paths<'a> {
    pub base: Vec<&'a Path>,
    pub graphs: Vec<&'a Path>,
    pub delta: Option<&'a Path>,
    pub target: Option<&'a Path>,
}

impl Paths<'_> {
    /// Converts `error`, and puts the path of the input that caused it in front of the message.
    pub fn explain(&self, error: DriveError) -> anyhow::Error {
        let source = match &error {
            DriveError::Job(error) => error.input_at_fault(),
            DriveError::Read(source, _) => Some(*source),
            DriveError::Write(_) => None,
        };
        let path = match source {
            Some(Source::Base(file)) => self.base.get(file).copied(),
            Some(Source::Graph(file)) => self.graphs.get(file).copied(),
            Some(Source::Delta) => self.delta,
            Some(Source::Target) => self.target,
            None => None,
        };
        match (path, error) {
            (Some(path), DriveError::Read(_, error)) => anyhow!("{}: {error}", path.display()),
            (Some(path), error) => anyhow!("{}: {error}", path.display()),
            (None, DriveError::Write(error)) => error.into(),
            (None, error) => anyhow!(error.to_string()),
        }
    }
}

/// Calls `work` with a runner of `threads` threads.
pub fn with_threads<R: Send>(threads: usize, work: impl FnOnce(&dyn Runner) -> R + Send) -> anyhow::Result<R> {
    if threads == 1 {
        return Ok(work(&Sequential));
    }
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start the worker threads")?;
    Ok(pool.install(|| work(&Rayon)))
}

/// Opens `job` and runs its windows one after the other, each on all threads, into `output`.
/// Returns the seconds it took.
pub fn job(
    job: &mut Job,
    sources: &Sources<'_>,
    paths: &Paths<'_>,
    output: &mut (dyn Write + Send),
    global: &Global,
) -> anyhow::Result<f64> {
    with_threads(global.threads(), |runner| {
        timed(job, sources, paths, global, |job, bar| {
            pipeline::drive(job, sources, runner, output, &mut |bytes| bar.set_position(bytes))
        })
    })?
}

/// Opens and runs a [shared](bitx::Restore::shared) restore, one window per thread at a time, into
/// `output`. Returns the seconds it took.
pub fn restore(
    job: &mut Job,
    sources: &Sources<'_>,
    paths: &Paths<'_>,
    output: &mut (dyn Write + Send),
    global: &Global,
) -> anyhow::Result<f64> {
    timed(job, sources, paths, global, |job, bar| {
        pipeline::restore(job, global.threads(), &Supply::Read(*sources), &mut |bytes| {
            bar.inc(bytes.len() as u64);
            output.write_all(bytes)
        })
    })
}

/// Opens `job`, runs it by calling `windows`, and shows a progress bar meanwhile. Returns the
/// seconds it took.
fn timed(
    job: &mut Job,
    sources: &Sources<'_>,
    paths: &Paths<'_>,
    global: &Global,
    windows: impl FnOnce(&mut Job, &ProgressBar) -> Result<(), DriveError>,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    drive::open(job, sources).map_err(|e| paths.explain(e))?;
    if !global.quiet {
        for fault in job.warnings() {
            eprintln!("warning: {}; the file is kept as bytes", paths.explain(fault.clone().into()));
        }
    }
    let bar = progress::bar(job.progress(job.windows()?)?, global.quiet || global.json);
    let done = windows(job, &bar);
    bar.finish_and_clear();
    done.map_err(|e| paths.explain(e))?;
    Ok(start.elapsed().as_secs_f64())
}

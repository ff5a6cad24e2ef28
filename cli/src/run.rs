//! Driving a job over files: threads, progress, errors that name the file.

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

/// The paths of a job's inputs, for messages.
#[derive(Default)]
pub struct Paths<'a> {
    pub base: Vec<&'a Path>,
    pub graphs: Vec<&'a Path>,
    pub delta: Option<&'a Path>,
    pub target: Option<&'a Path>,
}

impl Paths<'_> {
    /// `error` with the path of the input at fault in front.
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

/// Runs `work` with as many threads as asked for.
pub fn with_threads<R: Send>(threads: usize, work: impl FnOnce(&dyn Runner) -> R + Send) -> anyhow::Result<R> {
    if threads == 1 {
        return Ok(work(&Sequential));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start the threads")?;
    Ok(pool.install(|| work(&Rayon)))
}

/// Opens `job` and runs its windows in turn into `output`; returns the seconds it took.
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

/// The same for a [shared](bitx::Restore::shared) restore, many of whose windows run at once.
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

/// Opens `job` and has `windows` run what it then consists of, beside a progress bar.
fn timed(
    job: &mut Job,
    sources: &Sources<'_>,
    paths: &Paths<'_>,
    global: &Global,
    windows: impl FnOnce(&mut Job, &ProgressBar) -> Result<(), DriveError>,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    drive::open(job, sources).map_err(|e| paths.explain(e))?;
    let bar = progress::bar(job.progress(job.windows()?)?, global.quiet || global.json);
    let done = windows(job, &bar);
    bar.finish_and_clear();
    done.map_err(|e| paths.explain(e))?;
    Ok(start.elapsed().as_secs_f64())
}

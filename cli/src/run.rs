//! Runs a job over files, with threads, a progress bar, and errors that name the file.

use std::time::Instant;

use anyhow::Context;
use bitx::drive::{self, DriveError, Sources};
use bitx::parallel::{Rayon, Runner, Sequential};
use bitx::{ErrorKind, Job};
use bitx_host::pipeline::{self, Supply};
use bitx_host::{Stop, Stoppable, StoppableWriter, stoppable};

use crate::args::Global;
use crate::fault::Fault;
use crate::files::Given;
use crate::output::Sink;
use crate::progress::Meter;
use crate::warning::warn;
use crate::words;

/// Calls `work` with a runner of `threads` threads.
pub fn with_threads<R: Send>(threads: usize, work: impl FnOnce(&dyn Runner) -> R + Send) -> anyhow::Result<R> {
    if threads == 1 {
        return Ok(work(&Sequential));
    }
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start the worker threads")?;
    Ok(pool.install(|| work(&Rayon)))
}

/// The work of a command: the inputs of its job, and the limit of its output.
pub struct Work<'a> {
    pub given: Given<'a>,
    /// The maximum length of the output in bytes.
    pub most: Option<u64>,
    pub global: &'a Global,
}

impl Work<'_> {
    /// Opens `job` and runs its windows one after the other, each on all threads, into `output`.
    /// Returns the seconds it took.
    pub fn run(&self, job: &mut Job, output: &mut Sink<'_>) -> anyhow::Result<f64> {
        with_threads(self.global.threads(), |runner| {
            self.timed(job, output.name, |job, sources, meter| match self.stop() {
                None => pipeline::drive(job, sources, runner, output.writer, &mut |bytes| meter.set(bytes)),
                Some(stop) => {
                    let runner: &dyn Runner = &Stoppable { inner: runner, stop };
                    let writer = &mut StoppableWriter { inner: output.writer, stop };
                    pipeline::drive(job, sources, runner, writer, &mut |bytes| meter.set(bytes))
                }
            })
        })?
    }

    /// Opens and runs a [shared](bitx::Restore::shared) restore, one window per thread at a time,
    /// into `output`. Returns the seconds it took.
    pub fn restore(&self, job: &mut Job, output: &mut Sink<'_>) -> anyhow::Result<f64> {
        self.timed(job, output.name, |job, sources, meter| {
            pipeline::restore(job, self.global.threads(), &Supply::Read(*sources), &mut |bytes| {
                meter.add(bytes.len() as u64);
                output.writer.write_all(bytes)
            })
        })
    }

    /// Opens `job`, runs it by calling `windows`, and shows a progress bar meanwhile. Returns the
    /// seconds it took. `output` names the output in errors.
    fn timed(
        &self,
        job: &mut Job,
        output: &str,
        windows: impl FnOnce(&mut Job, &Sources<'_>, &mut Meter<'_>) -> Result<(), DriveError>,
    ) -> anyhow::Result<f64> {
        let start = Instant::now();
        self.with(|sources| {
            drive::open(job, sources).map_err(|e| self.given.explain(e))?;
            self.warn(job);
            self.check_length(job)?;
            let mut meter = Meter::start(job.progress(job.windows()?)?, self.global);
            let done = windows(job, sources, &mut meter);
            meter.finish();
            done.map_err(|error| match error {
                DriveError::Write(error) => anyhow::Error::new(error).context(output.to_owned()),
                error => self.given.explain(error),
            })?;
            self.given.check_unchanged()
        })?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn stop(&self) -> Option<&dyn Stop> {
        self.global.caller.as_deref().map(|caller| caller as &dyn Stop)
    }

    /// Calls `action` with the inputs, which the caller of this library may stop.
    fn with<R>(&self, action: impl FnOnce(&Sources<'_>) -> R) -> R {
        self.given.with(|sources| match self.stop() {
            None => action(sources),
            Some(stop) => stoppable(sources, stop, action),
        })
    }

    /// Names the files that break a rule of their layout and are kept as bytes.
    fn warn(&self, job: &Job) {
        for fault in job.warnings() {
            warn(self.global, &format!("{}; the file is kept as bytes", self.given.explain(fault.clone().into())));
        }
    }

    /// Refuses an output that is longer than its limit, before a byte of it is written.
    fn check_length(&self, job: &Job) -> anyhow::Result<()> {
        let (Some(most), Some(length)) = (self.most, job.output_length()?) else { return Ok(()) };
        let archive = self.given.delta.map(|delta| words::input(&delta.path)).unwrap_or_default();
        ensure_fits(&archive, length, most)
    }
}

/// Refuses an output of `length` bytes if `--max-output` allows `most`.
pub fn ensure_fits(source: &str, length: u64, most: u64) -> anyhow::Result<()> {
    let message = || {
        format!("{source}: the output is larger than --max-output allows: at most {most} bytes, found {length} bytes")
    };
    anyhow::ensure!(length <= most, Fault::new(ErrorKind::Limit, message()));
    Ok(())
}

//! The inputs of a job, by their roles: running jobs over them, and naming the one at fault.

use std::io::{self, Write};

use bitx::drive::{self, DriveError, Sources};
use bitx::io::{Inputs, ReadAt, Source};
use bitx::parallel::Sequential;
use bitx::report::Report;
use bitx::{ErrorKind, Inspect, Job};
use bitx_host::pipeline::{self, Supply};
use bitx_host::{Stoppable, StoppableWriter, Threads, order, stoppable};

use crate::fault::Fault;
use crate::input::Input;
use crate::watch::Watch;

/// The inputs of a job.
#[derive(Clone, Default)]
pub struct Given {
    pub base: Vec<Input>,
    pub delta: Option<Input>,
    pub target: Option<Input>,
}

impl Given {
    /// The inputs of a restore. The files of the base are put in the order of the archive.
    pub fn restoring(base: Vec<Input>, archive: Input) -> Result<Self, Fault> {
        let mut given = Self { base, delta: Some(archive), target: None };
        if given.base.len() > 1 {
            let needed = given.inspect(&Watch::default())?.bases;
            let files: Vec<&dyn ReadAt> = given.base.iter().map(|input| input.source.as_ref() as &dyn ReadAt).collect();
            let order = order(&files, &needed);
            let order = order.map_err(|(place, error)| given.base[place].named(Fault::io(error)))?;
            given.base = order.into_iter().map(|place| given.base[place].clone()).collect();
        }
        Ok(given)
    }

    /// The lengths of the base files in bytes.
    pub fn base_lengths(&self) -> Vec<u64> {
        self.base.iter().map(|input| input.source.len()).collect()
    }

    /// The length of the archive in bytes.
    pub fn archive_length(&self) -> u64 {
        self.delta.as_ref().map_or(0, |delta| delta.source.len())
    }

    /// Lists the content of the archive.
    pub fn inspect(&self, watch: &Watch) -> Result<Report, Fault> {
        let mut job = Inspect::new(self.archive_length()).job();
        self.with(watch, |sources| drive::open(&mut job, sources)).map_err(|error| self.explain(error))?;
        Ok(job.report()?)
    }

    /// Opens `job` and runs its windows one after the other, each on all threads.
    pub fn drive(
        &self,
        job: &mut Job,
        threads: usize,
        output: &mut (dyn Write + Send),
        watch: &Watch,
    ) -> Result<(), Fault> {
        let threads = Threads(threads);
        let runner = Stoppable { inner: &threads as &dyn bitx::parallel::Runner, stop: watch };
        let mut output = StoppableWriter { inner: output, stop: watch };
        let done = self.with(watch, |sources| {
            drive::open(job, sources)?;
            watch.set_total(job.progress(job.windows()?)?);
            let progress = &mut |done| watch.set_done(done);
            // Bytes in memory need no thread that reads ahead: its copies would be in the cache of
            // another core.
            if threads.0 <= 1 && self.is_in_memory() {
                drive::drive(job, sources, &runner, &mut output, progress)
            } else {
                pipeline::drive(job, sources, &runner, &mut output, progress)
            }
        });
        done.map_err(|error| self.explain(error))?;
        self.check_unchanged()
    }

    /// Opens and runs a [shared](bitx::Restore::shared) restore, one window per thread at a time.
    pub fn restore(
        &self,
        job: &mut Job,
        threads: usize,
        output: &mut (dyn Write + Send),
        watch: &Watch,
    ) -> Result<(), Fault> {
        let mut output = StoppableWriter { inner: output, stop: watch };
        self.with(watch, |sources| drive::open(job, sources)).map_err(|error| self.explain(error))?;
        watch.set_total(job.progress(job.windows()?)?);
        let done = self.with(watch, |sources| {
            pipeline::restore(job, threads, &Supply::Read(*sources), &mut |bytes| {
                output.write_all(bytes)?;
                watch.add_done(bytes.len() as u64);
                Ok(())
            })
        });
        done.map_err(|error| self.explain(error))?;
        self.check_unchanged()
    }

    /// Opens and runs a [shared](bitx::Restore::shared) restore on this thread. `write` receives the
    /// output in order, each time with the inputs that it was made from.
    pub fn restore_here(
        &self,
        job: &mut Job,
        write: &mut dyn FnMut(&[u8], &mut Inputs) -> io::Result<()>,
        watch: &Watch,
    ) -> Result<(), Fault> {
        let done = self.with(watch, |sources| {
            drive::open(job, sources)?;
            watch.set_total(job.progress(job.windows()?)?);
            let (mut inputs, mut output) = (Inputs::default(), Vec::new());
            for window in 0..job.windows()? {
                drive::fetch(job, window, sources, &mut inputs)?;
                job.run(window, &inputs, &Sequential, &mut output)?;
                job.check(window, &inputs)?;
                write(&output, &mut inputs).map_err(DriveError::Write)?;
                watch.add_done(output.len() as u64);
            }
            Ok(())
        });
        done.map_err(|error| self.explain(error))?;
        self.check_unchanged()
    }

    /// Returns true if the bytes of all inputs are in memory.
    pub fn is_in_memory(&self) -> bool {
        self.all().all(Input::is_in_memory)
    }

    fn with<R>(&self, watch: &Watch, action: impl FnOnce(&Sources<'_>) -> R) -> R {
        fn file(input: &Input) -> &dyn ReadAt {
            input.source.as_ref()
        }
        let base: Vec<&dyn ReadAt> = self.base.iter().map(file).collect();
        let [delta, target] = [&self.delta, &self.target].map(|input| input.as_ref().map(file));
        stoppable(&Sources { base: &base, delta, target, ..Sources::default() }, watch, action)
    }

    fn check_unchanged(&self) -> Result<(), Fault> {
        self.all().try_for_each(Input::check_unchanged)
    }

    fn all(&self) -> impl Iterator<Item = &Input> {
        self.base.iter().chain(&self.delta).chain(&self.target)
    }

    /// Converts `error`, and names the input that caused it. The cause of a failed job may be that
    /// another program changed a file.
    pub fn explain(&self, error: DriveError) -> Fault {
        let changed = match &error {
            DriveError::Job(_) | DriveError::Read(..) => self.check_unchanged().err(),
            DriveError::Write(_) => None,
        };
        let source = match &error {
            DriveError::Job(error) => error.input_at_fault(),
            DriveError::Read(source, _) => Some(*source),
            DriveError::Write(_) => None,
        };
        let needed = match &error {
            DriveError::Job(error) if error.kind() == ErrorKind::BaseMismatch && error.expected().is_none() => {
                self.needed()
            }
            _ => None,
        };
        let fault = Fault::from(error).with_hint(needed);
        changed.unwrap_or_else(|| match source.and_then(|source| self.input(source)) {
            Some(input) => input.named(fault),
            None => fault,
        })
    }

    /// A description of the base that the archive needs.
    fn needed(&self) -> Option<String> {
        let bases = self.inspect(&Watch::default()).ok()?.bases;
        let base = |base: &bitx::report::BaseReport| {
            format!("of {} bytes with BLAKE3 {}", base.length, blake3::Hash::from_bytes(base.blake3))
        };
        let all: Vec<String> = bases.iter().map(base).collect();
        (!all.is_empty()).then(|| format!("the archive needs the base {}", all.join(" and ")))
    }

    fn input(&self, source: Source) -> Option<&Input> {
        match source {
            Source::Base(file) => self.base.get(file),
            Source::Delta => self.delta.as_ref(),
            Source::Target => self.target.as_ref(),
            Source::Graph(_) => None,
        }
    }
}

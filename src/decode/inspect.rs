//! Lists the content of an archive.

use crate::archive::{Archive, ArchiveReader};
use crate::error::{Error, Result};
use crate::io::{Incremental, Inputs, Read, Source};
use crate::job::{Job, Opening, Plan};
use crate::parallel::Runner;
use crate::report::Report;

/// The settings of a [`Job`] that only opens an archive, for its report. It has no windows.
#[derive(Debug, Clone, Copy)]
pub struct Inspect {
    archive_length: u64,
}

impl Inspect {
    /// Prepares to inspect an archive of `archive_length` bytes.
    pub fn new(archive_length: u64) -> Self {
        Self { archive_length }
    }

    /// Creates the job.
    pub fn job(self) -> Job {
        Job::opening(OpenInspect(ArchiveReader::new(self.archive_length)))
    }
}

#[derive(Debug)]
struct OpenInspect(ArchiveReader);

impl Opening for OpenInspect {
    fn wants(&self) -> Option<Read> {
        self.0.wants().map(|range| Read::new(Source::Delta, range))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.take(bytes).map_err(|e| e.input(Source::Delta))
    }

    fn advance(&mut self) -> Result<bool> {
        self.0.advance().map_err(|e| e.input(Source::Delta))
    }

    fn plan(self: Box<Self>) -> Result<Box<dyn Plan>> {
        let archive = self.0.finish().ok_or_else(|| Error::truncated("the archive ends before its index"))?;
        Ok(Box::new(Listing(match archive {
            Archive::V1(index) => index.report(),
            Archive::V2(directory) => directory.report(),
        })))
    }
}

/// The plan of an inspection: a report, and no windows.
#[derive(Debug)]
struct Listing(Report);

impl Plan for Listing {
    fn windows(&self) -> usize {
        0
    }

    fn output_length(&self) -> Option<u64> {
        Some(self.0.restored_bytes)
    }

    fn progress(&self, _: usize) -> u64 {
        0
    }

    fn reads(&self, _: usize) -> Vec<Read> {
        Vec::new()
    }

    fn run(&mut self, _: usize, _: &Inputs, _: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        output.clear();
        Ok(())
    }

    fn report(&self) -> Report {
        self.0.clone()
    }
}

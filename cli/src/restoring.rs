//! The inputs of every command that restores: the base's files and an archive.

use std::io::Write;
use std::path::Path;

use bitx_wasm::Restore;
use bitx_wasm::drive::Sources;
use bitx_wasm::io::ReadAt;

use crate::args::{Base, Global};
use crate::files::{BaseFiles, InputFile};
use crate::run::{self, Paths};

/// A base and an archive, opened.
pub struct Restoring<'a> {
    base_paths: Vec<&'a Path>,
    base: BaseFiles,
    archive_path: &'a Path,
    archive: InputFile,
}

impl<'a> Restoring<'a> {
    pub fn open(base: &'a Base, archive: &'a Path) -> anyhow::Result<Self> {
        let base_paths = base.paths();
        let (base, file) = (BaseFiles::open(&base_paths)?, InputFile::open(archive)?);
        Ok(Self { base_paths, base, archive_path: archive, archive: file })
    }

    /// Every input, none of which may be the output.
    pub fn paths(&self) -> Vec<&'a Path> {
        [self.base_paths.as_slice(), &[self.archive_path]].concat()
    }

    /// Bytes of the archive.
    pub fn archive_bytes(&self) -> u64 {
        self.archive.len()
    }

    /// The job that restores the whole file, or one tensor of it.
    pub fn job(&self, tensor: Option<&str>) -> Restore {
        let lengths = self.base.lengths();
        match tensor {
            None => Restore::new(&lengths, self.archive.len()),
            Some(name) => Restore::tensor(&lengths, self.archive.len(), name),
        }
    }

    /// Runs `job` into `output`; returns the seconds it took.
    pub fn run(&self, job: &mut Restore, output: &mut (dyn Write + Send), global: &Global) -> anyhow::Result<f64> {
        let sources = Sources { base: &self.base.sources(), delta: Some(&self.archive), ..Sources::default() };
        let paths = Paths { base: self.base_paths.clone(), delta: Some(self.archive_path), ..Paths::default() };
        run::job(job, &sources, &paths, output, global)
    }
}

//! The inputs of the commands that restore: the files of a base and an archive.

use std::io::Write;
use std::path::Path;

use bitx::Restore;
use bitx::drive::Sources;
use bitx::io::ReadAt;
use bitx::report::Report;
use bitx_host::InputFile;

use crate::args::{Base, Global};
use crate::files::{self, BaseFiles};
use crate::run::{self, Paths};

/// An open base and archive.
pub struct Restoring<'a> {
    base_paths: Vec<&'a Path>,
    base: BaseFiles,
    archive_path: &'a Path,
    archive: InputFile,
}

impl<'a> Restoring<'a> {
    pub fn open(base: &'a Base, archive: &'a Path) -> anyhow::Result<Self> {
        let base_paths = base.paths();
        let (base, file) = (BaseFiles::open(&base_paths)?, files::open(archive)?);
        Ok(Self { base_paths, base, archive_path: archive, archive: file })
    }

    /// The paths of all inputs. The output must not be one of them.
    pub fn paths(&self) -> Vec<&'a Path> {
        [self.base_paths.as_slice(), &[self.archive_path]].concat()
    }

    /// The length of the archive in bytes.
    pub fn archive_bytes(&self) -> u64 {
        self.archive.len()
    }

    /// Restores the whole file into `output`. Returns the archive's report and the seconds it took.
    pub fn whole(&self, output: &mut (dyn Write + Send), global: &Global) -> anyhow::Result<(Report, f64)> {
        let mut job = Restore::new(&self.base.lengths(), self.archive.len()).shared().job();
        let seconds = self.with(|sources, paths| run::restore(&mut job, sources, paths, output, global))?;
        Ok((job.report()?, seconds))
    }

    /// Restores one tensor into `output`.
    pub fn tensor(&self, name: &str, output: &mut (dyn Write + Send), global: &Global) -> anyhow::Result<()> {
        let mut job = Restore::new(&self.base.lengths(), self.archive.len()).tensor(name).job();
        self.with(|sources, paths| run::job(&mut job, sources, paths, output, global).map(drop))
    }

    fn with<R>(&self, action: impl FnOnce(&Sources<'_>, &Paths<'_>) -> R) -> R {
        let sources = Sources { base: &self.base.sources(), delta: Some(&self.archive), ..Sources::default() };
        let paths = Paths { base: self.base_paths.clone(), delta: Some(self.archive_path), ..Paths::default() };
        action(&sources, &paths)
    }
}

//! The input files that a command line names.

use std::path::Path;

use anyhow::Context;
use bitx::io::ReadAt;
use bitx_host::InputFile;

/// Opens an input file. Errors name its path.
pub fn open(path: &Path) -> anyhow::Result<InputFile> {
    InputFile::open(path).with_context(|| path.display().to_string())
}

/// The open files of a base, in order.
pub struct BaseFiles(Vec<InputFile>);

impl BaseFiles {
    pub fn open(paths: &[&Path]) -> anyhow::Result<Self> {
        Ok(Self(paths.iter().map(|path| open(path)).collect::<anyhow::Result<_>>()?))
    }

    pub fn lengths(&self) -> Vec<u64> {
        self.0.iter().map(InputFile::len).collect()
    }

    pub fn sources(&self) -> Vec<&dyn ReadAt> {
        self.0.iter().map(|file| file as &dyn ReadAt).collect()
    }
}

//! Input files, read at any offset from any thread.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context;
use bitx::io::ReadAt;

/// A file that is read by position and never mapped: one that shrinks meanwhile is an error, not a fault.
pub struct InputFile {
    file: File,
    length: u64,
}

impl InputFile {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        let file = File::open(path).with_context(name)?;
        let meta = file.metadata().with_context(name)?;
        anyhow::ensure!(meta.is_file(), "{}: not a regular file", path.display());
        Ok(Self { file, length: meta.len() })
    }
}

/// The files of a base.
pub struct BaseFiles(Vec<InputFile>);

impl BaseFiles {
    pub fn open(paths: &[&Path]) -> anyhow::Result<Self> {
        Ok(Self(paths.iter().map(|path| InputFile::open(path)).collect::<anyhow::Result<_>>()?))
    }

    pub fn lengths(&self) -> Vec<u64> {
        self.0.iter().map(InputFile::len).collect()
    }

    pub fn sources(&self) -> Vec<&dyn ReadAt> {
        self.0.iter().map(|file| file as &dyn ReadAt).collect()
    }
}

impl ReadAt for InputFile {
    fn len(&self) -> u64 {
        self.length
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => (offset, buffer) = (offset + n as u64, &mut buffer[n..]),
            }
        }
        Ok(())
    }
}

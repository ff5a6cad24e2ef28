//! Input files, read at any offset from any thread.

use std::fs::File;
use std::io;
use std::path::Path;

use bitx::io::ReadAt;

/// An open input file of fixed length.
///
/// It is read by position and never mapped into memory. If another program truncates the file, a
/// read returns an error; access to a mapping would end the process.
#[derive(Debug)]
pub struct InputFile {
    file: File,
    length: u64,
}

impl InputFile {
    /// Opens a regular file and notes its length.
    ///
    /// # Errors
    /// Those of the system; `InvalidInput` for a folder, a pipe or a device, which have no usable
    /// length.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self { file, length: meta.len() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_up_to_the_end_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = InputFile::open(&path).unwrap();
        let mut buffer = [0; 4];
        file.read_at(3, &mut buffer).unwrap();
        assert_eq!((file.len(), &buffer), (10, b"3456"));
        assert_eq!(file.read_at(7, &mut buffer).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(InputFile::open(folder.path()).is_err());
    }
}

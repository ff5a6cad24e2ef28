//! Input files, read at any offset from any thread.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bitx::io::ReadAt;
use twox_hash::XxHash3_64;

/// The length of the blocks that a watched file compares, in bytes.
const BLOCK: u64 = 16 << 10;

/// An open input file of fixed length.
///
/// It is read by position and never mapped into memory. If another program truncates the file, a
/// read returns an error; access to a mapping would end the process.
#[derive(Debug)]
pub struct InputFile {
    file: File,
    length: u64,
    modified: Option<SystemTime>,
    /// The hashes of the blocks that were read, if the file is watched. 0 stands for a block that
    /// was not read.
    seen: Vec<AtomicU64>,
}

impl InputFile {
    /// Opens a file and notes its length. A pipe is read to its end, and kept in a temporary file
    /// without a name.
    ///
    /// # Errors
    /// Those of the system; `InvalidInput` for a folder or a device, which have no usable length.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// Opens standard input as [`open`](Self::open) opens a file.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn stdin() -> io::Result<Self> {
        #[cfg(unix)]
        let stdin = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
        #[cfg(windows)]
        let stdin = std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned()?;
        Self::of(stdin.into())
    }

    fn of(mut file: File) -> io::Result<Self> {
        let meta = file.metadata()?;
        if is_stream(&meta) || (meta.is_file() && reads_on(&mut file, &meta)?) {
            return Self::spool(file);
        }
        if meta.is_file() {
            return Self::whole(file);
        }
        let kind = if meta.is_dir() { "a folder" } else { "a device" };
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a regular file or a pipe: this is {kind}")))
    }

    fn whole(file: File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { file, length: meta.len(), modified: meta.modified().ok(), seen: Vec::new() })
    }

    fn spool(mut pipe: File) -> io::Result<Self> {
        let folder = std::env::temp_dir();
        let kept = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot keep the pipe's bytes in {}: {error}", folder.display()))
        };
        let mut spool = tempfile::tempfile_in(&folder).map_err(kept)?;
        io::copy(&mut pipe, &mut spool).and_then(|_| spool.flush()).map_err(kept)?;
        spool.seek(SeekFrom::Start(0))?;
        Self::whole(spool)
    }

    /// Lets reads compare the blocks that they read again with what was read before.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.seen.resize_with(self.length.div_ceil(BLOCK) as usize, AtomicU64::default);
        self
    }

    /// Checks that the file has the length and the time of modification that it had when it was
    /// opened.
    ///
    /// # Errors
    /// Those of the system; the error of a file that changed.
    pub fn check_unchanged(&self) -> io::Result<()> {
        let meta = self.file.metadata()?;
        if meta.len() == self.length && meta.modified().ok() == self.modified { Ok(()) } else { Err(changed()) }
    }

    /// Compares the blocks of a watched file that lie in the bytes at `offset`, and notes those
    /// that are new.
    fn compare(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        for number in offset.div_ceil(BLOCK)..end.div_ceil(BLOCK) {
            let block = number * BLOCK..((number + 1) * BLOCK).min(self.length);
            let Some(seen) = self.seen.get(number as usize).filter(|_| block.end <= end) else { break };
            let hash = XxHash3_64::oneshot(&bytes[(block.start - offset) as usize..(block.end - offset) as usize]) | 1;
            let before = seen.swap(hash, Ordering::Relaxed);
            if before != 0 && before != hash {
                return Err(changed());
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => (offset, buffer) = (offset + n as u64, &mut buffer[n..]),
            }
        }
        Ok(())
    }
}

impl ReadAt for InputFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(offset, buffer)?;
        self.compare(offset, buffer)
    }
}

/// Tells whether a regular file has to be read as a pipe is: because another program has begun to
/// read it, as it may do with standard input, or because it does not know its length, as the files
/// of a system's `/proc`.
fn reads_on(file: &mut File, meta: &Metadata) -> io::Result<bool> {
    let begun = file.stream_position()? > 0;
    if begun || meta.len() > 0 {
        return Ok(begun);
    }
    let found = file.read(&mut [0])?;
    file.rewind()?;
    Ok(found > 0)
}

/// The error of a file that another program changed.
fn changed() -> io::Error {
    io::Error::other("the file changed while it was read")
}

#[cfg(unix)]
fn is_stream(meta: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    meta.file_type().is_fifo() || meta.file_type().is_socket()
}

#[cfg(windows)]
fn is_stream(meta: &Metadata) -> bool {
    !meta.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn ranges_are_read_up_to_the_end_of_the_file() {
        let (_folder, path) = file(b"0123456789");
        let file = InputFile::open(&path).unwrap();
        let mut buffer = [0; 4];
        file.read_at(3, &mut buffer).unwrap();
        assert_eq!((file.len(), &buffer), (10, b"3456"));
        assert_eq!(file.read_at(7, &mut buffer).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn folders_and_devices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(InputFile::open(folder.path()).is_err());
        #[cfg(unix)]
        for device in ["/dev/null", "/dev/zero"] {
            let refused = InputFile::open(Path::new(device)).unwrap_err().to_string();
            assert!(refused.contains("this is a device"), "{refused}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let bytes: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
        let written = bytes.clone();
        let writing = std::thread::spawn(move || writer.write_all(&written));
        let file = InputFile::of(std::os::fd::OwnedFd::from(reader).into()).unwrap();
        writing.join().unwrap().unwrap();
        let mut read = vec![0; bytes.len()];
        file.read_at(0, &mut read).unwrap();
        assert!(file.len() == bytes.len() as u64 && read == bytes && file.check_unchanged().is_ok());
    }

    #[test]
    fn a_file_without_a_length_is_read_to_its_end() {
        let (_folder, path) = file(b"");
        assert_eq!(InputFile::open(&path).unwrap().len(), 0);
        #[cfg(target_os = "linux")]
        assert!(InputFile::open(Path::new("/proc/self/status")).unwrap().len() > 100);
    }

    #[test]
    fn a_file_that_grows_has_changed() {
        let (_folder, path) = file(b"0123456789");
        let input = InputFile::open(&path).unwrap();
        input.check_unchanged().unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"x").unwrap();
        assert_eq!(input.check_unchanged().unwrap_err().to_string(), changed().to_string());
    }

    #[test]
    fn a_watched_file_notices_a_byte_that_differs_when_it_is_read_again() {
        let mut bytes = vec![7; 3 * BLOCK as usize + 100];
        let (_folder, path) = file(&bytes);
        let input = InputFile::open(&path).unwrap().watched();
        let read = |from: u64, length: usize| input.read_at(from, &mut vec![0; length]);
        read(0, bytes.len()).unwrap();
        read(5, bytes.len() - 5).unwrap();
        // The last block is shorter than the others.
        for place in [bytes.len() - 1, BLOCK as usize] {
            bytes[place] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let begin = place as u64 / BLOCK * BLOCK;
            assert!(read(begin, (bytes.len() as u64 - begin) as usize).is_err(), "{place}");
        }
    }
}

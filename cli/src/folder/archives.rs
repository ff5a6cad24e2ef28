//! A folder of archives: its manifest, and the archives that the manifest names.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bitx::ErrorKind;
use bitx::folder::{Entry, LONGEST, MANIFEST, Manifest};
use bitx::io::ReadAt;
use bitx::report::Report;

use super::{Needed, fault};
use crate::fault::Fault;
use crate::files::{Input, read_short};

/// The length in bytes of a root digest.
const ROOT: u64 = 32;

/// An open folder of archives.
pub struct Archives {
    pub path: PathBuf,
    pub manifest: Manifest,
}

impl Archives {
    /// Reads the manifest in the folder `path`.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let place = path.join(MANIFEST);
        let message = || format!("{}: this is no folder of archives: it has no {MANIFEST}", path.display());
        let exists = place.try_exists().with_context(|| place.display().to_string())?;
        anyhow::ensure!(exists, Fault::new(ErrorKind::Format, message()));
        let manifest = Manifest::parse(&read_short(&place, LONGEST)?).map_err(|error| fault(&place, &error))?;
        Ok(Self { path: path.to_owned(), manifest })
    }

    /// Opens the archive of a file, and checks that it is the one that the manifest names.
    pub fn archive(&self, entry: &Entry) -> anyhow::Result<Input> {
        let path = self.path.join(&entry.archive.path);
        let meta = std::fs::metadata(&path).with_context(|| path.display().to_string())?;
        let other = |what: &str| {
            let message = format!("{}: the archive is not the one that {MANIFEST} names: {what}", path.display());
            Fault::new(ErrorKind::Corrupt, message)
        };
        anyhow::ensure!(meta.is_file(), other("it is no file"));
        let input = Input::open(&path)?;
        anyhow::ensure!(input.file.len() == entry.archive.bytes, other("it has another length"));
        let mut root = [0; ROOT as usize];
        if let Some(at) = entry.archive.bytes.checked_sub(ROOT) {
            input.file.read_at(at, &mut root).with_context(|| path.display().to_string())?;
        }
        anyhow::ensure!(root == entry.archive.root, other("it has another root digest"));
        Ok(input)
    }

    /// Checks that an archive with this report restores the file that the manifest says.
    pub fn check(&self, entry: &Entry, report: &Report) -> anyhow::Result<()> {
        let path = self.path.join(&entry.archive.path);
        let file = &entry.file;
        let same = report.blake3 == Some(file.blake3) && report.restored_bytes == file.bytes;
        let message = || format!("{}: the archive restores another file than {MANIFEST} names", path.display());
        anyhow::ensure!(same, Fault::new(ErrorKind::Corrupt, message()));
        Ok(())
    }

    /// The base files that the archive of `entry` needs.
    pub fn needed<'a>(&'a self, entry: &'a Entry) -> Vec<Needed<'a>> {
        let file =
            |file: &'a bitx::folder::File| Needed { path: Some(&file.path), length: file.bytes, blake3: file.blake3 };
        self.manifest.base_of(entry).map(file).collect()
    }
}

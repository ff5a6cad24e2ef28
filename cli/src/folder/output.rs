//! A folder as a command's output.

use std::fs::File;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bitx::ErrorKind;
use bitx_host::WholeFolder;

use crate::args;
use crate::fault::Fault;
use crate::output::remove_on_interrupt;

/// The output folder of a command, which appears when it is complete.
pub struct OutputFolder {
    name: String,
    folder: WholeFolder,
    force: bool,
    sync: bool,
}

impl OutputFolder {
    /// Prepares a folder at `path`.
    ///
    /// # Errors
    /// Standard output; a file; a folder that is not empty, without `--force`; one of `inputs`, or
    /// a folder around one of them.
    pub fn create<P: AsRef<Path>>(path: &Path, args: &args::Output, inputs: &[P]) -> anyhow::Result<Self> {
        let wrong = |message: &str| Fault::new(ErrorKind::InvalidArgument, format!("{}: {message}", path.display()));
        anyhow::ensure!(
            path.as_os_str() != "-",
            Fault::new(ErrorKind::InvalidArgument, "a folder cannot be written to standard output: name it with -o")
        );
        if let Ok(existing) = path.canonicalize() {
            let clash = inputs
                .iter()
                .any(|input| input.as_ref().canonicalize().is_ok_and(|input| input.starts_with(&existing)));
            anyhow::ensure!(!clash, wrong("the output folder is also an input, or holds one"));
            anyhow::ensure!(existing.is_dir(), wrong("this is a file, and the output is a folder"));
            let empty = existing.read_dir().with_context(|| path.display().to_string())?.next().is_none();
            anyhow::ensure!(empty || args.force, wrong("the folder exists; use --force to replace it"));
        }
        let folder = WholeFolder::create(path).with_context(|| path.display().to_string())?;
        if !args.called {
            remove_on_interrupt(folder.temporary())?;
        }
        Ok(Self { name: path.display().to_string(), folder, force: args.force, sync: args.sync })
    }

    /// Creates a file at a path inside the folder. Returns it with its name for messages.
    pub fn file(&mut self, path: &str) -> anyhow::Result<(File, String)> {
        let name = PathBuf::from(&self.name).join(path).display().to_string();
        Ok((self.folder.file(path).with_context(|| name.clone())?, name))
    }

    /// Gives the complete folder its name.
    pub fn publish(self) -> anyhow::Result<()> {
        let done = self.folder.publish(self.force, self.sync);
        if self.force && done.as_ref().is_err_and(|error| error.kind() == Io::AlreadyExists) {
            let message = format!("{}: the folder has files that the new one lacks, so it is kept", self.name);
            return Err(Fault::new(ErrorKind::InvalidArgument, message).into());
        }
        done.context(self.name)
    }
}

//! A command's output: standard output, or a file that appears when it is complete or not at all.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use bitx_host::WholeFile;

use crate::args;

/// The destination of a command's output.
pub enum OutputFile {
    Stdout(io::Stdout),
    File { file: WholeFile, path: PathBuf, force: bool, sync: bool },
}

impl OutputFile {
    /// Opens the output that `args` name.
    ///
    /// # Errors
    /// A terminal as standard output; a file that is one of `inputs`, or that exists without
    /// `--force`.
    pub fn create(args: &args::Output, inputs: &[&Path]) -> anyhow::Result<Self> {
        let path = &args.path;
        if path.as_os_str() == "-" {
            let stdout = io::stdout();
            anyhow::ensure!(
                !stdout.is_terminal(),
                "the output is binary and standard output is a terminal: redirect it, or name a file with -o"
            );
            return Ok(Self::Stdout(stdout));
        }
        if let Ok(existing) = path.canonicalize() {
            let clash = inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == existing));
            anyhow::ensure!(!clash, "{}: the output file is also an input", path.display());
            anyhow::ensure!(args.force, "{}: the file exists; use --force to replace it", path.display());
            anyhow::ensure!(existing.is_file(), "{}: not a regular file", path.display());
        }
        let file = WholeFile::create(path).with_context(|| path.display().to_string())?;
        remove_on_interrupt(file.temporary())?;
        Ok(Self::File { file, path: path.clone(), force: args.force, sync: args.sync })
    }

    /// Gives the complete file its final name, or flushes standard output.
    pub fn publish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut stdout) => stdout.flush().context("standard output"),
            Self::File { file, path, force, sync } => {
                file.publish(force, sync).with_context(|| path.display().to_string())
            }
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

/// Arranges that an interruption by the user deletes the temporary file, since destructors do not
/// run then.
fn remove_on_interrupt(temporary: &Path) -> anyhow::Result<()> {
    static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);
    const INTERRUPTED: i32 = 130;
    let previous = TEMPORARY.lock().ok().and_then(|mut slot| slot.replace(temporary.to_owned()));
    if previous.is_none() {
        ctrlc::set_handler(|| {
            if let Some(path) = TEMPORARY.lock().ok().and_then(|mut slot| slot.take()) {
                let _ = std::fs::remove_file(path);
            }
            std::process::exit(INTERRUPTED);
        })?;
    }
    Ok(())
}

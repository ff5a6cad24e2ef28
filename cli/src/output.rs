//! Output that appears whole or not at all: a temporary beside the target, renamed when complete.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use tempfile::{NamedTempFile, TempPath};

use crate::args;

/// Where output goes.
pub enum OutputFile {
    Stdout(io::Stdout),
    File { file: File, temporary: TempPath, path: PathBuf, force: bool, sync: bool },
}

impl OutputFile {
    /// Opens the output that `args` ask for; it must be none of `inputs`.
    pub fn create(args: &args::Output, inputs: &[&Path]) -> anyhow::Result<Self> {
        let path = &args.path;
        if path.as_os_str() == "-" {
            let stdout = io::stdout();
            anyhow::ensure!(!stdout.is_terminal(), "standard output is a terminal: redirect it, or name a file");
            return Ok(Self::Stdout(stdout));
        }
        if let Ok(existing) = path.canonicalize() {
            let clash = inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == existing));
            anyhow::ensure!(!clash, "{}: is an input as well", path.display());
            anyhow::ensure!(args.force, "{}: exists; --force replaces it", path.display());
            anyhow::ensure!(existing.is_file(), "{}: not a regular file", path.display());
        }
        let (file, temporary) = temporary_beside(path).with_context(|| path.display().to_string())?;
        remove_on_interrupt(&temporary)?;
        Ok(Self::File { file, temporary, path: path.clone(), force: args.force, sync: args.sync })
    }

    /// Puts the complete output in its place.
    pub fn publish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut stdout) => stdout.flush().context("standard output"),
            Self::File { file, temporary, path, force, sync } => {
                let name = || path.display().to_string();
                if sync {
                    file.sync_all().with_context(name)?;
                }
                match force {
                    true => temporary.persist(&path),
                    false => temporary.persist_noclobber(&path),
                }
                .map_err(|e| e.error)
                .with_context(name)?;
                if sync { sync_folder(&path).with_context(name) } else { Ok(()) }
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

fn temporary_beside(path: &Path) -> io::Result<(File, TempPath)> {
    let mut builder = tempfile::Builder::new();
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    builder.prefix(&prefix).suffix(".part");
    // A new file gets the permissions that any other program's would: 0666 less the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path)).map(NamedTempFile::into_parts)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The rename itself is durable only once the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

/// Deletes the temporary when the user interrupts; destructors do not run then.
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

//! A command's output: a stream, or a file that appears when it is complete or not at all.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use bitx_host::WholeFile;

use crate::args::{self, Global};
use crate::fault::Fault;
use crate::files::Input;

/// The number of links that lead to an output, at most.
const LINKS: usize = 40;

/// The output of a command.
pub struct OutputFile {
    /// The name of the output in messages.
    name: String,
    target: Target,
    force: bool,
    sync: bool,
}

/// The destination of an output. A file that is no regular one, such as a pipe or `/dev/null`, is
/// written to as it is, and never replaced.
enum Target {
    Stdout(io::Stdout),
    Stream(File),
    File(WholeFile),
}

/// A writer with the name that messages use for it.
pub struct Sink<'a> {
    pub name: &'a str,
    pub writer: &'a mut (dyn Write + Send),
}

impl OutputFile {
    /// Opens the output at `path`.
    ///
    /// # Errors
    /// A terminal; a folder or block device; a file that is one of `inputs`, or that exists without
    /// `--force`; a folder that is missing.
    pub fn create(path: &Path, args: &args::Output, inputs: &[&Input]) -> anyhow::Result<Self> {
        let name = if path.as_os_str() == "-" { "standard output".to_owned() } else { path.display().to_string() };
        let target = target(path, args.force, inputs).context(name.clone())?;
        let terminal = match &target {
            Target::Stdout(stdout) => stdout.is_terminal(),
            Target::Stream(file) => file.is_terminal(),
            Target::File(_) => false,
        };
        anyhow::ensure!(
            !terminal,
            "the output is binary and {name} is a terminal: redirect it, or name a file with -o"
        );
        Ok(Self { name, target, force: args.force, sync: args.sync })
    }

    /// Refuses standard output as the output of a command that also prints a JSON object there.
    pub fn ensure_apart(&self, global: &Global) -> anyhow::Result<()> {
        let both = global.json && matches!(self.target, Target::Stdout(_));
        let message = "--json and the output would both go to standard output: name a file with -o";
        anyhow::ensure!(!both, Fault::new(bitx::ErrorKind::InvalidArgument, message));
        Ok(())
    }

    /// The writer of the output.
    pub fn sink(&mut self) -> Sink<'_> {
        let writer: &mut (dyn Write + Send) = match &mut self.target {
            Target::Stdout(stdout) => stdout,
            Target::Stream(file) => file,
            Target::File(file) => file,
        };
        Sink { name: &self.name, writer }
    }

    /// Gives the complete file its final name, or flushes a stream.
    pub fn publish(self) -> anyhow::Result<()> {
        let done = match self.target {
            Target::Stdout(mut stdout) => stdout.flush(),
            Target::Stream(mut file) => file.flush(),
            Target::File(file) => file.publish(self.force, self.sync),
        };
        done.context(self.name)
    }
}

/// The file to write for an output at `path`.
fn target(path: &Path, force: bool, inputs: &[&Input]) -> anyhow::Result<Target> {
    if path.as_os_str() == "-" {
        return Ok(Target::Stdout(io::stdout()));
    }
    let path = match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => anyhow::bail!("this is a folder; name a file in it with -o"),
        Ok(meta) if !meta.is_file() || names_descriptor(path) => return stream(path, &meta),
        Ok(_) => {
            // A link to a file stays, and the file behind it is replaced.
            let existing = path.canonicalize()?;
            let clash = inputs.iter().any(|input| input.path.canonicalize().is_ok_and(|input| input == existing));
            anyhow::ensure!(!clash, "the output file is also an input");
            anyhow::ensure!(force, "the file exists; use --force to replace it");
            existing
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Err(_) if path.is_symlink() => anyhow::bail!("this is a link to a file that does not exist"),
        Err(_) => path.to_owned(),
    };
    let file = WholeFile::create(&path).map_err(|error| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        match folder {
            Some(folder) => anyhow::Error::new(error).context(format!("there is no folder {}", folder.display())),
            None => error.into(),
        }
    })?;
    remove_on_interrupt(file.temporary())?;
    Ok(Target::File(file))
}

/// Opens a file that is written to as it is. If it is what standard output writes to, its position
/// is that of standard output.
fn stream(path: &Path, meta: &Metadata) -> anyhow::Result<Target> {
    if is_stdout(meta) {
        return Ok(Target::Stdout(io::stdout()));
    }
    anyhow::ensure!(!is_block_device(meta), "this is a block device");
    // A regular file here is one that the shell has opened: its content stays.
    let open = File::options().write(true).append(meta.is_file()).open(path)?;
    Ok(Target::Stream(open))
}

/// Tells whether `path` leads through links to an open file of this process, as `/dev/stdout` and
/// `/dev/fd/3` do.
pub fn names_descriptor(path: &Path) -> bool {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Ok(folder) = folder.canonicalize() else { return false };
        if folder == Path::new("/dev/fd") || (folder.starts_with("/proc") && folder.ends_with("fd")) {
            return true;
        }
        let Ok(next) = fs::read_link(&path) else { return false };
        path = folder.join(next);
    }
    false
}

#[cfg(unix)]
fn is_stdout(meta: &Metadata) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let stdout = io::stdout().as_fd().try_clone_to_owned().and_then(|stdout| File::from(stdout).metadata());
    stdout.is_ok_and(|stdout| (stdout.dev(), stdout.ino()) == (meta.dev(), meta.ino()))
}

#[cfg(unix)]
fn is_block_device(meta: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&meta.file_type())
}

#[cfg(not(unix))]
fn is_stdout(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn is_block_device(_: &Metadata) -> bool {
    false
}

/// Arranges that an interruption by the user deletes the temporary file or folder, since
/// destructors do not run then.
pub fn remove_on_interrupt(temporary: &Path) -> anyhow::Result<()> {
    static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);
    const INTERRUPTED: i32 = 130;
    let previous = TEMPORARY.lock().ok().and_then(|mut slot| slot.replace(temporary.to_owned()));
    if previous.is_none() {
        ctrlc::set_handler(|| {
            if let Some(path) = TEMPORARY.lock().ok().and_then(|mut slot| slot.take()) {
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
            std::process::exit(INTERRUPTED);
        })?;
    }
    Ok(())
}

//! The input files that a command line names.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use bitx::drive::{DriveError, Sources};
use bitx::io::{ReadAt, Source};
use bitx::{Error, ErrorKind};
use bitx_host::InputFile;

use crate::fault::Fault;
use crate::{damage, mistakes, words};

/// An open input file and the path that names it; `-` is standard input.
pub struct Input {
    pub path: PathBuf,
    pub file: InputFile,
}

impl Input {
    /// Opens an input file. Errors name its path.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = if is_stdin(path) { stdin(path)? } else { InputFile::open(path) };
        Ok(Self { path: path.to_owned(), file: file.with_context(|| words::input(path))? })
    }

    /// Opens an input file that is read more than once, and so has to be watched.
    pub fn watched(path: &Path) -> anyhow::Result<Self> {
        let Self { path, file } = Self::open(path)?;
        Ok(Self { path, file: file.watched() })
    }

    /// Opens several input files.
    pub fn all(paths: &[&Path], open: fn(&Path) -> anyhow::Result<Self>) -> anyhow::Result<Vec<Self>> {
        paths.iter().map(|path| open(path)).collect()
    }

    /// Checks that no other program has changed the file.
    pub fn check_unchanged(&self) -> anyhow::Result<()> {
        self.file.check_unchanged().with_context(|| words::input(&self.path))
    }
}

/// Reads a short file that was found in a folder: up to `most` bytes, and one more if it is longer.
///
/// # Errors
/// Those of the system; a pipe or a device, which a stranger's folder may have and which may never
/// end.
pub fn read_short(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let named = || path.display().to_string();
    let meta = fs::metadata(path).with_context(named)?;
    anyhow::ensure!(meta.is_file(), Fault::new(ErrorKind::Format, format!("{}: this is no file", path.display())));
    let mut bytes = Vec::new();
    fs::File::open(path).with_context(named)?.take(most + 1).read_to_end(&mut bytes).with_context(named)?;
    Ok(bytes)
}

/// Tells whether a path names standard input.
pub fn is_stdin(path: &Path) -> bool {
    ["-", "/dev/stdin"].iter().any(|name| path == Path::new(name))
}

/// Standard input, which can be read only once.
fn stdin(path: &Path) -> anyhow::Result<std::io::Result<InputFile>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let message = "standard input is named twice, and can be read only once";
    anyhow::ensure!(!TAKEN.swap(true, Ordering::Relaxed), Fault::new(ErrorKind::InvalidArgument, message));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    anyhow::ensure!(!terminal, Fault::new(ErrorKind::InvalidArgument, format!("{}: a terminal", words::input(path))));
    Ok(InputFile::stdin())
}

/// The lengths of input files in bytes.
pub fn lengths(inputs: &[&Input]) -> Vec<u64> {
    inputs.iter().map(|input| input.file.len()).collect()
}

/// The open inputs of a job, by their roles.
#[derive(Default)]
pub struct Given<'a> {
    pub base: Vec<&'a Input>,
    pub graphs: Vec<&'a Input>,
    pub delta: Option<&'a Input>,
    pub target: Option<&'a Input>,
}

impl Given<'_> {
    /// Calls `action` with the inputs as a job's sources.
    pub fn with<R>(&self, action: impl FnOnce(&Sources<'_>) -> R) -> R {
        fn file(input: &Input) -> &dyn ReadAt {
            &input.file
        }
        let base: Vec<&dyn ReadAt> = self.base.iter().map(|input| file(input)).collect();
        let graphs: Vec<&dyn ReadAt> = self.graphs.iter().map(|input| file(input)).collect();
        action(&Sources { base: &base, graphs: &graphs, delta: self.delta.map(file), target: self.target.map(file) })
    }

    /// Checks that no other program has changed one of the files.
    pub fn check_unchanged(&self) -> anyhow::Result<()> {
        self.all().try_for_each(Input::check_unchanged)
    }

    fn all(&self) -> impl Iterator<Item = &Input> {
        self.base.iter().chain(&self.graphs).copied().chain(self.delta).chain(self.target)
    }

    /// Converts `error`, and puts the path of the input that caused it in front of the message. The
    /// cause of a failed job may be that another program changed a file.
    pub fn explain(&self, error: DriveError) -> anyhow::Error {
        if let (DriveError::Job(_) | DriveError::Read(..), Err(changed)) = (&error, self.check_unchanged()) {
            return changed;
        }
        match error {
            DriveError::Job(error) => self.explain_fault(error),
            DriveError::Read(source, error) => match self.input(source) {
                Some(input) => anyhow::Error::new(error).context(words::input(&input.path)),
                None => error.into(),
            },
            DriveError::Write(error) => error.into(),
        }
    }

    fn explain_fault(&self, error: Error) -> anyhow::Error {
        let named = error.input_at_fault().and_then(|source| self.input(source));
        // The error of a parser names no input.
        let only = || self.all().next().filter(|_| self.all().count() == 1);
        let Some(input) = named.or_else(only) else { return error.into() };
        let archive = self.delta.is_some_and(|delta| std::ptr::eq(delta, input));
        let damage = archive.then(|| damage::of(&input.file, &error)).flatten();
        let mut message = format!("{}: {}", words::input(&input.path), damage.unwrap_or_else(|| error.to_string()));
        let mistake = if archive { None } else { mistakes::of(&input.file) };
        if let Some(kind) = mistake.filter(|kind| !message.contains(kind)) {
            message += &format!("; the file is {kind}");
        }
        Fault::new(error.kind(), message).into()
    }

    fn input(&self, source: Source) -> Option<&Input> {
        match source {
            Source::Base(file) => self.base.get(file).copied(),
            Source::Graph(file) => self.graphs.get(file).copied(),
            Source::Delta => self.delta,
            Source::Target => self.target,
        }
    }
}

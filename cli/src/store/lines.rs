//! JSON Lines, which surveys and plans consist of: reading and writing them.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::args::Lines;
use crate::args::{Global, Output};
use crate::fault::Fault;
use crate::output::OutputFile;
use crate::stdout;

/// The output of lines: standard output, which may be a terminal, or a file.
pub struct Out(Option<OutputFile>);

impl Out {
    /// Opens the output before the work begins.
    ///
    /// # Errors
    /// A file that exists or cannot be written; standard output, if it also gets the report.
    pub fn open(args: &Lines, global: &Global) -> anyhow::Result<Self> {
        let path = args.path.as_deref().filter(|path| path.as_os_str() != "-");
        let Some(path) = path else {
            let message = "--json and the output would both go to standard output: name a file with -o";
            anyhow::ensure!(!global.json, Fault::new(bitx::ErrorKind::InvalidArgument, message));
            return Ok(Self(None));
        };
        let output = Output { path: None, force: args.force, sync: false, called: false };
        OutputFile::create(path, &output, &[]).map(|file| Self(Some(file)))
    }

    /// Writes the lines, after which the file appears.
    pub fn write(self, lines: &str) -> anyhow::Result<()> {
        let Some(mut file) = self.0 else { return stdout::print(lines) };
        let sink = file.sink();
        sink.writer.write_all(lines.as_bytes()).with_context(|| sink.name.to_owned())?;
        file.publish()
    }
}

/// Reads the lines of several files, each with `parse`, which gets the name of the file for errors.
pub fn read<T>(
    paths: &[PathBuf],
    parse: impl Fn(&mut dyn BufRead, &str) -> bitx_store::Result<Vec<T>>,
) -> anyhow::Result<Vec<T>> {
    let mut all = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        all.extend(parse(&mut *open(path)?, &name)?);
    }
    Ok(all)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| path.display().to_string())?;
    Ok(Box::new(BufReader::new(file)))
}

//! `bitx decompress BASE ARCHIVE [-o OUT]`: restores a model.

use std::path::{Path, PathBuf};

use bitx::ErrorKind;

use crate::args::{self, Global};
use crate::fault::Fault;
use crate::files::is_stdin;
use crate::output::{self, OutputFile};
use crate::restoring::Restoring;
use crate::summary::Summary;
use crate::{folder, words};

pub fn run(args: &args::Decompress, global: &Global) -> anyhow::Result<()> {
    if args.archive.is_dir() {
        return folder::decompress(args, global);
    }
    let inputs = Restoring::open(&args.base, &args.archive, &args.checks, global)?;
    let path = args.output.path.clone().map_or_else(|| default_path(&args.archive), Ok)?;
    let mut output = OutputFile::create(&path, &args.output, &inputs.inputs())?;
    output.ensure_apart(global)?;
    let (report, seconds) = inputs.whole(output.sink())?;
    output.publish()?;
    inputs.warn_of_unchecked(&report);
    let (input_bytes, output_bytes) = (inputs.archive_bytes(), report.restored_bytes);
    Summary { command: "decompress", report: &report, input_bytes, output_bytes, seconds }.print(global, &[])
}

/// The output for an archive without `-o`: its path without `.bitx`, or standard output for
/// a pipe without a name.
fn default_path(archive: &Path) -> anyhow::Result<PathBuf> {
    if is_stdin(archive) || output::names_descriptor(archive) {
        return Ok("-".into());
    }
    let named = archive.extension().is_some_and(|extension| extension == "bitx");
    let message = || format!("{}: the name does not end in .bitx; name the output with -o", words::input(archive));
    anyhow::ensure!(named, Fault::new(ErrorKind::InvalidArgument, message()));
    Ok(archive.with_extension(""))
}

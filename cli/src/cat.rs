//! `bitx cat BASE ARCHIVE TENSOR [-o OUT]`: restores one tensor.

use std::path::Path;

use crate::args::{self, Global};
use crate::output::OutputFile;
use crate::restoring::Restoring;

pub fn run(args: &args::Cat, global: &Global) -> anyhow::Result<()> {
    let inputs = Restoring::open(&args.base, &args.archive, &args.checks, global)?;
    let path = args.output.path.as_deref().unwrap_or(Path::new("-"));
    let mut output = OutputFile::create(path, &args.output, &inputs.inputs())?;
    let report = inputs.tensor(&args.tensor, output.sink())?;
    output.publish()?;
    inputs.warn_of_unchecked(&report);
    Ok(())
}

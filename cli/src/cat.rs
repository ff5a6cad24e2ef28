//! `bitx cat BASE ARCHIVE TENSOR -o OUT`: restores one tensor.

use crate::args::{self, Global};
use crate::output::OutputFile;
use crate::restoring::Restoring;

pub fn run(args: &args::Cat, global: &Global) -> anyhow::Result<()> {
    let inputs = Restoring::open(&args.base, &args.archive)?;
    let mut output = OutputFile::create(&args.output, &inputs.paths())?;
    inputs.tensor(&args.tensor, &mut output, global)?;
    output.publish()
}

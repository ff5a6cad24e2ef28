//! `bitx decompress BASE ARCHIVE -o OUT`: restores a model.

use crate::args::{self, Global};
use crate::output::OutputFile;
use crate::restoring::Restoring;
use crate::summary::Summary;

pub fn run(args: &args::Decompress, global: &Global) -> anyhow::Result<()> {
    let inputs = Restoring::open(&args.base, &args.archive)?;
    let mut output = OutputFile::create(&args.output, &inputs.paths())?;
    let (report, seconds) = inputs.whole(&mut output, global)?;
    output.publish()?;
    let (input_bytes, output_bytes) = (inputs.archive_bytes(), report.restored_bytes);
    Summary { command: "decompress", report: &report, input_bytes, output_bytes, seconds }.print(global, &[])
}

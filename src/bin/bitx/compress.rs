//! `bitx compress BASE TARGET -o OUT`

use bitx_wasm::drive::Sources;
use bitx_wasm::io::ReadAt;
use bitx_wasm::{Compress, Job};

use crate::args::{self, Global};
use crate::files::InputFile;
use crate::output::OutputFile;
use crate::run::{self, Paths};
use crate::summary::Summary;

pub fn run(args: &args::Compress, global: &Global) -> anyhow::Result<()> {
    let (base, target) = (InputFile::open(&args.base)?, InputFile::open(&args.target)?);
    let mut output = OutputFile::create(&args.output, &[&args.base, &args.target])?;
    let sources = Sources { base: Some(&base), target: Some(&target), ..Sources::default() };
    let paths = Paths { base: Some(&args.base), target: Some(&args.target), ..Paths::default() };
    let mut job = Compress::new(base.len(), target.len(), args.format())?;
    let seconds = run::job(&mut job, &sources, &paths, &mut output, global)?;
    output.publish()?;
    let report = job.report();
    let output_bytes = report.stored_bytes;
    Summary { command: "compress", report: &report, input_bytes: target.len(), output_bytes, seconds }
        .print(global, &[]);
    Ok(())
}

//! `bitx compress BASE TARGET -o OUT`

use bitx_wasm::drive::Sources;
use bitx_wasm::io::ReadAt;
use bitx_wasm::{Compress, Job};

use crate::args::{self, Global};
use crate::files::{BaseFiles, InputFile};
use crate::output::OutputFile;
use crate::run::{self, Paths};
use crate::summary::Summary;

pub fn run(args: &args::Compress, global: &Global) -> anyhow::Result<()> {
    let base_paths = args.base.paths();
    let (base, target) = (BaseFiles::open(&base_paths)?, InputFile::open(&args.target)?);
    let mut output = OutputFile::create(&args.output, &[base_paths.as_slice(), &[&args.target]].concat())?;
    let sources = Sources { base: &base.sources(), target: Some(&target), ..Sources::default() };
    let paths = Paths { base: base_paths.clone(), target: Some(&args.target), ..Paths::default() };
    let mut job = Compress::new(&base.lengths(), target.len(), args.format()?)?;
    let seconds = run::job(&mut job, &sources, &paths, &mut output, global)?;
    output.publish()?;
    let report = job.report();
    let output_bytes = report.stored_bytes;
    Summary { command: "compress", report: &report, input_bytes: target.len(), output_bytes, seconds }
        .print(global, &[])
}

//! `bitx decompress BASE ARCHIVE -o OUT`

use bitx_wasm::drive::Sources;
use bitx_wasm::io::ReadAt;
use bitx_wasm::{Job, Restore};

use crate::args::{self, Global};
use crate::files::{BaseFiles, InputFile};
use crate::output::OutputFile;
use crate::run::{self, Paths};
use crate::summary::Summary;

pub fn run(args: &args::Decompress, global: &Global) -> anyhow::Result<()> {
    let base_paths = args.base.paths();
    let (base, archive) = (BaseFiles::open(&base_paths)?, InputFile::open(&args.archive)?);
    let mut output = OutputFile::create(&args.output, &[base_paths.as_slice(), &[&args.archive]].concat())?;
    let sources = Sources { base: &base.sources(), delta: Some(&archive), ..Sources::default() };
    let paths = Paths { base: base_paths.clone(), delta: Some(&args.archive), ..Paths::default() };
    let mut job = Restore::new(&base.lengths(), archive.len());
    let seconds = run::job(&mut job, &sources, &paths, &mut output, global)?;
    output.publish()?;
    let report = job.report();
    let output_bytes = report.restored_bytes;
    Summary { command: "decompress", report: &report, input_bytes: archive.len(), output_bytes, seconds }
        .print(global, &[]);
    Ok(())
}

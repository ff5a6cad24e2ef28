//! `bitx cat BASE ARCHIVE TENSOR -o OUT`

use bitx_wasm::Restore;
use bitx_wasm::drive::Sources;
use bitx_wasm::io::ReadAt;

use crate::args::{self, Global};
use crate::files::{BaseFiles, InputFile};
use crate::output::OutputFile;
use crate::run::{self, Paths};

pub fn run(args: &args::Cat, global: &Global) -> anyhow::Result<()> {
    let base_paths = args.base.paths();
    let (base, archive) = (BaseFiles::open(&base_paths)?, InputFile::open(&args.archive)?);
    let mut output = OutputFile::create(&args.output, &[base_paths.as_slice(), &[&args.archive]].concat())?;
    let sources = Sources { base: &base.sources(), delta: Some(&archive), ..Sources::default() };
    let paths = Paths { base: base_paths.clone(), delta: Some(&args.archive), ..Paths::default() };
    let mut job = Restore::tensor(&base.lengths(), archive.len(), &args.tensor);
    run::job(&mut job, &sources, &paths, &mut output, global)?;
    output.publish()
}

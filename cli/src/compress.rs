//! `bitx compress BASE TARGET -o OUT`: compresses a model against its base.

use std::path::{Path, PathBuf};

use bitx::Compress;
use bitx::drive::Sources;
use bitx::io::ReadAt;
use serde_json::json;

use crate::args::{self, Global};
use crate::files::{self, BaseFiles};
use crate::graphs::Graphs;
use crate::output::OutputFile;
use crate::run::{self, Paths};
use crate::summary::Summary;

pub fn run(args: &args::Compress, global: &Global) -> anyhow::Result<()> {
    let (base_paths, format) = (args.base.paths(), args.format()?);
    let (base, target) = (BaseFiles::open(&base_paths)?, files::open(&args.target)?);
    let graphs = Graphs::open(args, format, global)?;
    let graph_paths: Vec<&Path> = graphs.paths.iter().map(PathBuf::as_path).collect();
    let inputs = [base_paths.as_slice(), &[&args.target]].concat();
    let mut output = OutputFile::create(&args.output, &[inputs.as_slice(), &graph_paths].concat())?;
    let (bases, graph_files) = (base.sources(), graphs.files.sources());
    let sources = Sources { base: &bases, graphs: &graph_files, target: Some(&target), ..Sources::default() };
    let paths = Paths { base: base_paths, graphs: graph_paths.clone(), target: Some(&args.target), ..Paths::default() };
    let mut job = graphs.give(Compress::new(&base.lengths(), target.len(), format)?, &inputs)?.job();
    let seconds = run::job(&mut job, &sources, &paths, &mut output, global)?;
    output.publish()?;
    let report = job.report()?;
    let output_bytes = report.stored_bytes;
    Summary { command: "compress", report: &report, input_bytes: target.len(), output_bytes, seconds }
        .print(global, &[("graphs", json!(graph_paths))])?;
    if !graph_paths.is_empty() && !global.json && !global.quiet {
        let names: Vec<String> = graph_paths.iter().map(|path| path.display().to_string()).collect();
        eprintln!("graphs: {}", names.join(", "));
    }
    Ok(())
}

//! `bitx compress BASE TARGET [-o OUT]`: compresses a model against its base.

use std::path::{Path, PathBuf};

use bitx::Compress;
use bitx::io::Source;
use bitx::report::{Method, Report};
use serde_json::json;

use crate::args::{self, Global};
use crate::files::{Given, Input, is_stdin, lengths};
use crate::graphs::Graphs;
use crate::output::{self, OutputFile};
use crate::run::Work;
use crate::summary::Summary;
use crate::warning::warn;
use crate::{mistakes, words};

/// The number of bytes below which a model is too small to judge its base.
const SMALL: u64 = 64 << 10;

pub fn run(args: &args::Compress, global: &Global) -> anyhow::Result<()> {
    let (base_paths, format) = (args.base.paths(), args.format()?);
    let (base, target) = (Input::all(&base_paths, Input::watched)?, Input::watched(&args.target)?);
    let graphs = Graphs::open(args, (&base, &target), format, global)?;
    let inputs: Vec<&Input> = base.iter().chain([&target]).collect();
    let files = [inputs.as_slice(), &graphs.files()].concat();
    let path = args.output.path.clone().unwrap_or_else(|| default_path(&args.target));
    let mut output = OutputFile::create(&path, &args.output, &files)?;
    output.ensure_apart(global)?;
    let compress = Compress::new(&lengths(&inputs[..base.len()]), lengths(&[&target])[0], format)?;
    let mut job = graphs.give(compress, &inputs)?.job();
    let given = Given { base: base.iter().collect(), graphs: graphs.files(), target: Some(&target), delta: None };
    let seconds = Work { given, most: None, global }.run(&mut job, &mut output.sink())?;
    output.publish()?;
    let report = job.report()?;
    // The job has named the files that break a rule of their layout.
    let named = |source: Source| job.warnings().iter().any(|fault| fault.input_at_fault() == Some(source));
    let sources = (0..base.len()).map(Source::Base).chain([Source::Target]);
    let unnamed = inputs.iter().zip(sources).filter(|(_, source)| !named(*source));
    mistakes::warn_of(unnamed.map(|(input, _)| *input), global);
    warn_of_base(&report, &base[0].path, global);
    let (input_bytes, output_bytes) = (report.restored_bytes, report.stored_bytes);
    let names: Vec<String> = graphs.files().iter().map(|graph| words::input(&graph.path)).collect();
    Summary { command: "compress", report: &report, input_bytes, output_bytes, seconds }
        .print(global, &[("graphs", json!(names))])?;
    if !names.is_empty() && !global.json && !global.quiet {
        eprintln!("graphs: {}", words::message(&names.join(", ")));
    }
    Ok(())
}

/// The output for a target without `-o`: its path with `.bitx` behind it, or standard output for
/// a pipe without a name.
fn default_path(target: &Path) -> PathBuf {
    if is_stdin(target) || output::names_descriptor(target) {
        return "-".into();
    }
    let mut path = target.as_os_str().to_owned();
    path.push(".bitx");
    path.into()
}

/// Warns about a base that does not make the archive smaller.
fn warn_of_base(report: &Report, base: &Path, global: &Global) {
    let alone = |method: Method| {
        matches!(method, Method::Zstd | Method::Solo | Method::Palette | Method::Stored | Method::CopyEarlier)
    };
    let helped: u64 = report.tensors.iter().filter(|t| !alone(t.method)).map(|t| t.restored_bytes).sum();
    let share = |bytes: u64| 100 * bytes / report.restored_bytes.max(1);
    let useless = share(helped) < 10 || share(report.stored_bytes) > 90;
    if report.restored_bytes >= SMALL && useless {
        let (helped, stored) = (share(helped), share(report.stored_bytes));
        let text = format!(
            "{}: the base hardly helps: {helped}% of the target are coded by it, and the archive has {stored}% of the \
             target's size; `bitx distance` compares models",
            words::input(base)
        );
        warn(global, &text);
    }
}

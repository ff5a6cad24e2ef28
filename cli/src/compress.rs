//! `bitx compress BASE TARGET [-o OUT]`: compresses a model against its base.

use std::path::{Path, PathBuf};

use bitx::io::Source;
use bitx::report::{Method, Report};
use bitx::{Compress, Format};
use serde_json::json;

use crate::args::{self, Global};
use crate::files::{Given, Input, is_stdin, lengths};
use crate::folder::{self, BaseFiles};
use crate::graphs::Graphs;
use crate::output::{self, OutputFile, Sink};
use crate::run::Work;
use crate::summary::Summary;
use crate::warning::warn;
use crate::{adapter, mistakes, words};

/// The number of bytes below which a model is too small to judge its base.
const SMALL: u64 = 64 << 10;

pub fn run(args: &args::Compress, global: &Global) -> anyhow::Result<()> {
    let [target] = &args.targets[..] else { return folder::compress(args, global) };
    if target.is_dir() {
        return folder::compress(args, global);
    }
    let (base_paths, format) = (args.base.paths(), args.format()?);
    let folders = folder::any(&base_paths);
    let (base, target) = match folders {
        true => serving(&base_paths, Input::watched(target)?, global)?,
        false => (Input::all(&base_paths, Input::watched)?, Input::watched(target)?),
    };
    let graphs = Graphs::open(args, (&base, &target), format, global)?;
    let path = args.output.path.clone().unwrap_or_else(|| default_path(&target.path));
    let files = [base.iter().chain([&target]).collect(), graphs.files()].concat();
    let mut output = OutputFile::create(&path, &args.output, &files)?;
    output.ensure_apart(global)?;
    let coding = Coding { base: &base, target: &target, graphs: &graphs, format, only_used: folders };
    let (report, seconds) = coding.run(output.sink(), global)?;
    output.publish()?;
    warn_of_base(&[&report], base_paths[0], global);
    let (input_bytes, output_bytes) = (report.restored_bytes, report.stored_bytes);
    let names: Vec<String> = graphs.files().iter().map(|graph| words::input(&graph.path)).collect();
    Summary { command: "compress", report: &report, input_bytes, output_bytes, seconds }
        .print(global, &[("graphs", json!(names))])?;
    if !names.is_empty() && !global.json && !global.quiet {
        eprintln!("graphs: {}", words::message(&names.join(", ")));
    }
    Ok(())
}

/// The files of a base with folders that serve a target, and the target.
fn serving(base: &[&Path], target: Input, global: &Global) -> anyhow::Result<(Vec<Input>, Input)> {
    let base = BaseFiles::find(base, global)?;
    let name = target.path.file_name().unwrap_or_default().to_string_lossy();
    let serving = base.serving(&name, &folder::layout(&target)?)?;
    Ok((base.open(&serving, Input::watched)?, target))
}

/// The compression of one file.
pub struct Coding<'a> {
    pub base: &'a [Input],
    pub target: &'a Input,
    pub graphs: &'a Graphs,
    pub format: Format,
    /// Leaves base files out of the archive that nothing is taken from.
    pub only_used: bool,
}

impl Coding<'_> {
    /// Compresses the file into `sink`, and warns about files that are mistaken for models. Returns
    /// the archive's report and the seconds it took.
    pub fn run(&self, mut sink: Sink<'_>, global: &Global) -> anyhow::Result<(Report, f64)> {
        let inputs: Vec<&Input> = self.base.iter().chain([self.target]).collect();
        let (base, graphs) = (&inputs[..self.base.len()], self.graphs.files());
        let compress = Compress::new(&lengths(base), lengths(&[self.target])[0], self.format)?;
        let compress = if self.only_used { compress.only_used_bases() } else { compress };
        let compress = match self.format {
            Format::V1 { .. } => compress,
            _ => adapter::give(compress, base, global)?,
        };
        let mut job = self.graphs.give(compress, &inputs)?.job();
        let given = Given { base: base.to_vec(), graphs, target: Some(self.target), delta: None };
        let seconds = Work { given, most: None, global }.run(&mut job, &mut sink)?;
        // Files of a folder were looked at when they were found. The job has named those that break
        // a rule of their layout.
        let named = |source: Source| job.warnings().iter().any(|fault| fault.input_at_fault() == Some(source));
        let sources = (0..self.base.len()).map(Source::Base).chain([Source::Target]);
        let unnamed = inputs.iter().zip(sources).filter(|(_, source)| !self.only_used && !named(*source));
        mistakes::warn_of(unnamed.map(|(input, _)| *input), global);
        Ok((job.report()?, seconds))
    }
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

/// Warns about a base that does not make the archives smaller.
pub fn warn_of_base(reports: &[&Report], base: &Path, global: &Global) {
    let alone = |method: Method| {
        matches!(method, Method::Zstd | Method::Solo | Method::Palette | Method::Stored | Method::CopyEarlier)
    };
    let tensors = reports.iter().flat_map(|report| &report.tensors).filter(|tensor| !alone(tensor.method));
    let helped: u64 = tensors.map(|tensor| tensor.restored_bytes).sum();
    let restored: u64 = reports.iter().map(|report| report.restored_bytes).sum();
    let stored: u64 = reports.iter().map(|report| report.stored_bytes).sum();
    let share = |bytes: u64| (100 * u128::from(bytes) / u128::from(restored.max(1))) as u64;
    let useless = share(helped) < 10 || share(stored) > 90;
    if restored >= SMALL && useless {
        let (helped, stored) = (share(helped), share(stored));
        let text = format!(
            "{}: the base hardly helps: {helped}% of the target are coded by it, and the archive has {stored}% of the \
             target's size; `bitx distance` compares models",
            words::input(base)
        );
        warn(global, &text);
    }
}

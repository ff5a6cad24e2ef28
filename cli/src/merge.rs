//! `bitx merge BASE ADAPTER -o OUT`: computes the model of a base and a LoRA adapter. Nothing is
//! restored: no archive tells what the model was.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use bitx::io::ReadAt;
use bitx::layout::Kind;
use bitx::report::Report;
use bitx::{ErrorKind, Merge};
use serde_json::json;

use crate::args::{self, Global};
use crate::fault::Fault;
use crate::files::{Given, Input, lengths};
use crate::folder::{self, OutputFolder, layout};
use crate::output::{OutputFile, Sink};
use crate::report::{Pace, print};
use crate::run::Work;
use crate::{adapter, words};

/// The files of a merge.
struct Merging<'a> {
    base: Vec<Input>,
    factors: Input,
    config: Vec<u8>,
    /// The path of the configuration.
    named: String,
    global: &'a Global,
}

/// The result of a merge.
#[derive(Default)]
pub struct Merged {
    /// Number of files.
    pub files: usize,
    /// The bytes of all files together.
    pub bytes: u64,
    /// The names of the tensors that the adapter changed.
    pub tensors: Vec<String>,
}

pub fn run(args: &args::Merge, global: &Global) -> anyhow::Result<()> {
    let Some(path) = args.output.path.as_deref() else {
        return Err(Fault::new(ErrorKind::InvalidArgument, "name the output with -o").into());
    };
    let begun = Instant::now();
    let merged = if args.base.is_dir() { of_folder(args, path, global)? } else { of_file(args, path, global)? };
    let pace = Pace::of(merged.bytes, begun);
    let mut object = json!({
        "command": "merge",
        "computed": true,
        "files": merged.files,
        "output_bytes": merged.bytes,
        "tensors": merged.tensors,
    });
    pace.add_to(&mut object, global);
    print(global, || text(&merged, &pace), object)
}

fn text(merged: &Merged, pace: &Pace) -> String {
    let (tensors, bytes) = (merged.tensors.len(), words::size(merged.bytes));
    format!(
        "{bytes}, {tensors} tensors merged, {:.3} s, {:.0} MB/s\nThe model was computed and not restored: compare it \
         with a published digest if it must be a certain file.",
        pace.seconds, pace.mb_per_s
    )
}

impl<'a> Merging<'a> {
    fn open(args: &args::Merge, base: Vec<Input>, global: &'a Global) -> anyhow::Result<Self> {
        let (factors, config, bytes) = adapter::open(&args.adapter)?;
        Ok(Self { base, factors, config: bytes, named: config.display().to_string(), global })
    }

    /// Merges the adapter into one of the base files.
    fn file(&self, file: usize, output: &mut Sink<'_>) -> anyhow::Result<Report> {
        let base: Vec<&Input> = self.base.iter().collect();
        let merge = Merge::new(&lengths(&base), file, self.factors.file.len(), &self.config);
        let merge = merge.map_err(|error| Fault::new(error.kind(), format!("{}: {error}", self.named)))?;
        let mut job = merge.job();
        let given = Given { base: [base, vec![&self.factors]].concat(), ..Given::default() };
        Work { given, most: None, global: self.global }.run(&mut job, output)?;
        Ok(job.report()?)
    }
}

impl Merged {
    fn add(&mut self, report: Report) {
        self.files += 1;
        self.bytes += report.restored_bytes;
        self.tensors.extend(report.tensors.into_iter().map(|tensor| tensor.name));
    }
}

fn of_file(args: &args::Merge, path: &Path, global: &Global) -> anyhow::Result<Merged> {
    let merging = Merging::open(args, vec![Input::watched(&args.base)?], global)?;
    let mut output = OutputFile::create(path, &args.output, &[&merging.base[0], &merging.factors])?;
    output.ensure_apart(global)?;
    let report = merging.file(0, &mut output.sink())?;
    output.publish()?;
    let mut merged = Merged::default();
    merged.add(report);
    Ok(merged)
}

/// Merges the adapter into the shards of a folder, and copies all other files.
pub fn of_folder(args: &args::Merge, path: &Path, global: &Global) -> anyhow::Result<Merged> {
    let sources = folder::files(&[&args.base], global)?;
    let (mut shards, mut total) = (Vec::new(), 0);
    let mut base = Vec::new();
    for source in &sources {
        let input = Input::watched(&source.file)?;
        if layout(&input)?.kind == Kind::Safetensors {
            total += input.file.len();
            shards.push(source.path.as_str());
            base.push(input);
        }
    }
    if let Some(caller) = &global.caller {
        caller.set_total(total);
    }
    let merging = Merging::open(args, base, global)?;
    let mut output = OutputFolder::create(path, &args.output, &[&args.base, &args.adapter])?;
    let mut merged = Merged::default();
    for source in &sources {
        let (mut file, name) = output.file(&source.path)?;
        if let Some(shard) = shards.iter().position(|path| *path == source.path) {
            merged.add(merging.file(shard, &mut Sink { name: &name, writer: &mut file })?);
        } else {
            let mut from = std::fs::File::open(&source.file).with_context(|| source.file.display().to_string())?;
            merged.bytes += std::io::copy(&mut from, &mut file).with_context(|| name.clone())?;
            file.flush().with_context(|| name)?;
            merged.files += 1;
        }
    }
    if shards.is_empty() {
        let message = format!("{}: no file of the folder is a safetensors file", args.base.display());
        return Err(Fault::new(ErrorKind::Format, message).into());
    }
    output.publish()?;
    Ok(merged)
}

//! `bitx compress BASE TARGET... -o OUT` for a folder or several files: one archive for each file
//! of the target, and the manifest.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use bitx::folder::{Archive, Entry, File, MANIFEST, Manifest, archive_paths};
use bitx::report::Report;
use bitx::{ErrorKind, Format};
use bitx_store::Source;
use serde_json::{Value, json};

use super::output::OutputFolder;
use super::{BaseFiles, Folder, files, layout};
use crate::args::{self, Global};
use crate::compress::{Coding, warn_of_base};
use crate::fault::Fault;
use crate::files::Input;
use crate::graphs::Graphs;
use crate::output::Sink;
use crate::report::{Pace, print};
use crate::words;

/// The archives that were made so far.
struct Making<'a> {
    base: BaseFiles,
    format: Format,
    global: &'a Global,
    output: OutputFolder,
    manifest: Manifest,
    /// The number in the manifest of each base file that an archive needs.
    numbers: BTreeMap<usize, u32>,
    reports: Vec<Report>,
}

pub fn run(args: &args::Compress, global: &Global) -> anyhow::Result<()> {
    let format = check(args)?;
    let path = args.output.path.clone().map_or_else(|| default_path(&args.targets), Ok)?;
    let base = args.base.paths();
    let begun = Instant::now();
    let Folder { manifest, reports } = make(&base, &args.targets, (&path, &args.output), format, global)?;
    warn_of_base(&reports.iter().collect::<Vec<_>>(), base[0], global);
    let pace = Pace::of(manifest.restored_bytes(), begun);
    let mut object = summary(&manifest, "compress");
    pace.add_to(&mut object, global);
    print(global, || text(&manifest, &pace), object)
}

/// Compresses the files of `targets` against `base` into the folder `output`, which has a path and
/// options.
pub fn make(
    base: &[&Path],
    targets: &[PathBuf],
    output: (&Path, &args::Output),
    format: Format,
    global: &Global,
) -> anyhow::Result<Folder> {
    let sources = files(targets, global)?;
    let inputs: Vec<&Path> = base.iter().copied().chain(targets.iter().map(PathBuf::as_path)).collect();
    let base = BaseFiles::find(base, global)?;
    let output = OutputFolder::create(output.0, output.1, &inputs)?;
    if let Some(caller) = &global.caller {
        let lengths = sources.iter().filter_map(|source| std::fs::metadata(&source.file).ok());
        caller.set_total(lengths.map(|meta| meta.len()).sum());
    }
    let manifest = Manifest { base: Vec::new(), files: Vec::new() };
    let (numbers, reports) = (BTreeMap::new(), Vec::new());
    let mut making = Making { base, format, global, output, manifest, numbers, reports };
    let paths = archive_paths(&sources.iter().map(|source| source.path.as_str()).collect::<Vec<_>>());
    for (source, path) in sources.iter().zip(paths) {
        making.add(source, path)?;
    }
    making.finish()
}

/// The format, if the options fit a folder.
fn check(args: &args::Compress) -> anyhow::Result<Format> {
    let wrong = |message: &str| Fault::new(ErrorKind::InvalidArgument, message);
    let graphs = args.base_graph.is_some() || args.target_graph.is_some();
    anyhow::ensure!(
        !graphs,
        wrong("graphs of ONNX models are found in folders, and are named for a single target only")
    );
    let format = args.format()?;
    anyhow::ensure!(matches!(format, Format::V2 { .. }), wrong("format v1 has no folders; use v2"));
    Ok(format)
}

/// The output without `-o`: the folder's path with `.bitx` behind it.
fn default_path(targets: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let message = "several targets make a folder of archives: name it with -o";
    let [target] = targets else { return Err(Fault::new(ErrorKind::InvalidArgument, message).into()) };
    // A path such as `.` has no name of its own.
    let named = target.file_name().is_some();
    let mut path =
        if named { target.clone() } else { target.canonicalize()? }.components().as_path().as_os_str().to_owned();
    path.push(".bitx");
    Ok(path.into())
}

impl Making<'_> {
    /// Compresses a file of the target to `archive`.
    fn add(&mut self, source: &Source, archive: String) -> anyhow::Result<()> {
        let target = Input::watched(&source.file)?;
        let serving = self.base.serving(&source.path, &layout(&target)?)?;
        let base = self.base.open(&serving, Input::watched)?;
        let graphs = Graphs::found((&base, &target), self.global)?;
        let coding = Coding { base: &base, target: &target, graphs: &graphs, format: self.format, only_used: true };
        let (file, name) = self.output.file(&archive)?;
        let mut rooted = Rooted { file, last: Vec::new(), bytes: 0 };
        let sink = Sink { name: &name, writer: &mut rooted };
        let (report, _) = coding.run(sink, self.global)?;
        let base = report.bases.iter().map(|file| self.number(serving[file.file], file.length, file.blake3)).collect();
        let file =
            File { path: source.path.clone(), bytes: report.restored_bytes, blake3: report.blake3.unwrap_or_default() };
        let archive = Archive { path: archive, bytes: rooted.bytes, root: rooted.root() };
        self.manifest.files.push(Entry { file, archive, base });
        self.reports.push(report);
        Ok(())
    }

    /// The number in the manifest of a base file.
    fn number(&mut self, file: usize, bytes: u64, blake3: [u8; 32]) -> u32 {
        let base = &mut self.manifest.base;
        *self.numbers.entry(file).or_insert_with(|| {
            base.push(File { path: self.base.path(file).to_owned(), bytes, blake3 });
            base.len() as u32 - 1
        })
    }

    fn finish(mut self) -> anyhow::Result<Folder> {
        let json = self.manifest.write()?;
        let (mut file, name) = self.output.file(MANIFEST)?;
        file.write_all(&json).with_context(|| name)?;
        drop(file);
        self.output.publish()?;
        Ok(Folder { manifest: self.manifest, reports: self.reports })
    }
}

/// The JSON object that describes the folder of a command.
pub fn summary(manifest: &Manifest, command: &str) -> Value {
    let file = |entry: &Entry| {
        json!({
            "path": entry.file.path,
            "archive": entry.archive.path,
            "stored_bytes": entry.archive.bytes,
            "restored_bytes": entry.file.bytes,
        })
    };
    json!({
        "command": command,
        "folder": true,
        "stored_bytes": manifest.stored_bytes(),
        "restored_bytes": manifest.restored_bytes(),
        "ratio": manifest.stored_bytes() as f64 / manifest.restored_bytes().max(1) as f64,
        "files": manifest.files.iter().map(file).collect::<Vec<_>>(),
    })
}

fn text(manifest: &Manifest, pace: &Pace) -> String {
    let (restored, stored) = (manifest.restored_bytes(), manifest.stored_bytes());
    format!(
        "{} files, {} -> {}, ratio {:.4}, {:.3} s, {:.0} MB/s",
        manifest.files.len(),
        words::size(restored),
        words::size(stored),
        stored as f64 / restored.max(1) as f64,
        pace.seconds,
        pace.mb_per_s,
    )
}

/// A file that remembers the end of what was written to it: the root digest of an archive.
struct Rooted {
    file: std::fs::File,
    last: Vec<u8>,
    bytes: u64,
}

impl Rooted {
    fn root(&self) -> [u8; 32] {
        self.last.last_chunk().copied().unwrap_or_default()
    }
}

impl Write for Rooted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        self.last.extend_from_slice(&bytes[written.saturating_sub(32)..written]);
        self.last.drain(..self.last.len().saturating_sub(32));
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

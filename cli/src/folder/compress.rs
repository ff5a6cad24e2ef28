//! `bitx compress BASE TARGET... -o OUT` for a folder or several files: one archive for each file of
//! the target, and the manifest.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use bitx::folder::{Archive, Entry, File, MANIFEST, Manifest};
use bitx::report::Report;
use bitx::{ErrorKind, Format};
use bitx_store::Source;
use serde_json::{Value, json};

use super::output::OutputFolder;
use super::{BaseFiles, files, layout};
use crate::args::{self, Global};
use crate::compress::{Coding, warn_of_base};
use crate::fault::Fault;
use crate::files::Input;
use crate::graphs::Graphs;
use crate::output::Sink;
use crate::report::{Pace, print};
use crate::words;

/// The length of the longest name of a file on most systems, in bytes.
const LONGEST_NAME: usize = 255;

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
    let sources = files(&args.targets, global)?;
    let path = args.output.path.clone().map_or_else(|| default_path(&args.targets), Ok)?;
    let base = BaseFiles::find(&args.base.paths(), global)?;
    let inputs: Vec<&Path> = args.base.paths().into_iter().chain(args.targets.iter().map(PathBuf::as_path)).collect();
    let output = OutputFolder::create(&path, &args.output, &inputs)?;
    let manifest = Manifest { base: Vec::new(), files: Vec::new() };
    let begun = Instant::now();
    let (numbers, reports) = (BTreeMap::new(), Vec::new());
    let mut making = Making { base, format, global, output, manifest, numbers, reports };
    let paths = archive_paths(&sources);
    for (source, path) in sources.iter().zip(paths) {
        making.add(source, path)?;
    }
    making.finish(&args.base.paths(), begun)
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

/// The paths of the archives: those of the files with `.bitx` behind them. A path that is too long
/// then, or that is a folder's, is replaced by a number.
fn archive_paths(sources: &[Source]) -> Vec<String> {
    let usual = |source: &Source| format!("{}.bitx", source.path);
    let mut folders = HashSet::new();
    for source in sources {
        let key = source.path.to_lowercase();
        folders.extend(key.match_indices('/').map(|(at, _)| key[..at].to_owned()));
    }
    let mut taken: HashSet<String> = sources.iter().map(|source| usual(source).to_lowercase()).collect();
    taken.extend(folders.iter().cloned());
    let mut numbered = (1u32..).map(|number| format!("{number}.bitx"));
    let path = |source: &Source| {
        let path = usual(source);
        let longest = path.split('/').map(str::len).max().unwrap_or(0);
        if longest <= LONGEST_NAME && path.len() <= 1024 && !folders.contains(&path.to_lowercase()) {
            return path;
        }
        numbered.find(|name| !taken.contains(name)).unwrap_or(path)
    };
    sources.iter().map(path).collect()
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

    fn finish(mut self, base: &[&Path], begun: Instant) -> anyhow::Result<()> {
        let json = self.manifest.write()?;
        let (mut file, name) = self.output.file(MANIFEST)?;
        file.write_all(&json).with_context(|| name)?;
        drop(file);
        self.output.publish()?;
        warn_of_base(&self.reports.iter().collect::<Vec<_>>(), base[0], self.global);
        let pace = Pace::of(self.manifest.restored_bytes(), begun);
        let mut object = summary(&self.manifest, "compress");
        pace.add_to(&mut object, self.global);
        print(self.global, || text(&self.manifest, &pace), object)
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

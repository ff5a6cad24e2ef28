//! `bitx decompress` and `bitx verify` for a folder of archives.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bitx::ErrorKind;
use bitx::folder::Entry;
use serde_json::json;

use super::archives::Archives;
use super::compress::summary;
use super::output::OutputFolder;
use super::{BaseFiles, Needed};
use crate::args::{self, Global};
use crate::checks::Checks;
use crate::fault::Fault;
use crate::files::Input;
use crate::output::Sink;
use crate::report::{Pace, print};
use crate::restoring::Restoring;
use crate::{run, stdout, verify, words};

/// A folder of archives with its base.
struct Folder<'a> {
    archives: Archives,
    base: BaseFiles,
    checks: &'a Checks,
    global: &'a Global,
}

impl<'a> Folder<'a> {
    fn open(base: &args::Base, archive: &Path, checks: &'a Checks, global: &'a Global) -> anyhow::Result<Self> {
        let message = "--sha256 is the digest of a file, and a folder has none: its manifest has those of its files";
        anyhow::ensure!(!checks.pins(), Fault::new(ErrorKind::InvalidArgument, message));
        let archives = Archives::open(archive)?;
        if let Some(most) = checks.most() {
            run::ensure_fits(&archives.path.display().to_string(), archives.manifest.restored_bytes(), most)?;
        }
        Ok(Self { base: BaseFiles::find(&base.paths(), global)?, archives, checks, global })
    }

    /// Opens the archive of a file, and the files of the base that it needs.
    fn restoring(&self, entry: &'a Entry) -> anyhow::Result<Restoring<'a>> {
        let archive = self.archives.archive(entry)?;
        let needed = self.archives.needed(entry);
        let base = self.base.open(&self.base.needed(&needed)?, Input::open)?;
        let names = needed.iter().map(Needed::text).collect();
        let restoring = Restoring::new(base, archive, self.checks, self.global).needing(names);
        self.archives.check(entry, &restoring.report()?)?;
        Ok(restoring)
    }
}

pub fn decompress(args: &args::Decompress, global: &Global) -> anyhow::Result<()> {
    let folder = Folder::open(&args.base, &args.archive, &args.checks, global)?;
    let path = args.output.path.clone().map_or_else(|| default_path(&args.archive), Ok)?;
    let inputs: Vec<&Path> = args.base.paths().into_iter().chain([args.archive.as_path()]).collect();
    let mut output = OutputFolder::create(&path, &args.output, &inputs)?;
    let begun = Instant::now();
    for entry in &folder.archives.manifest.files {
        let restoring = folder.restoring(entry)?;
        let (mut file, name) = output.file(&entry.file.path)?;
        restoring.whole(Sink { name: &name, writer: &mut file })?;
    }
    output.publish()?;
    folder.print("decompress", begun, &[])
}

pub fn verify(args: &args::Verify, global: &Global) -> anyhow::Result<()> {
    let folder = Folder::open(&args.base, &args.archive, &args.checks, global)?;
    let begun = Instant::now();
    let mut digests = Vec::new();
    for entry in &folder.archives.manifest.files {
        digests.push(verify::digest(&folder.restoring(entry)?)?.sha256);
    }
    folder.print("verify", begun, &digests)?;
    if !global.json && !global.quiet {
        let files = folder.archives.manifest.files.iter().zip(&digests);
        let lines: String = files.map(|(entry, sha256)| format!("{sha256}  {}\n", entry.file.path)).collect();
        stdout::print(lines)?;
    }
    Ok(())
}

impl Folder<'_> {
    /// Prints the summary of a command, with the SHA-256 digests of the files that it computed.
    fn print(&self, command: &str, begun: Instant, digests: &[String]) -> anyhow::Result<()> {
        let manifest = &self.archives.manifest;
        let pace = Pace::of(manifest.restored_bytes(), begun);
        let mut object = summary(manifest, command);
        pace.add_to(&mut object, self.global);
        for (i, sha256) in digests.iter().enumerate() {
            object["files"][i]["sha256"] = json!(sha256);
        }
        let (stored, restored) = (manifest.stored_bytes(), manifest.restored_bytes());
        let text = || {
            let (files, stored, restored) = (manifest.files.len(), words::size(stored), words::size(restored));
            format!("{files} files, {stored} -> {restored}, {:.3} s, {:.0} MB/s", pace.seconds, pace.mb_per_s)
        };
        print(self.global, text, object)
    }
}

/// The output for a folder of archives without `-o`: its path without `.bitx`.
fn default_path(archive: &Path) -> anyhow::Result<PathBuf> {
    let named = archive.extension().is_some_and(|extension| extension == "bitx");
    let message = || format!("{}: the name does not end in .bitx; name the output with -o", archive.display());
    anyhow::ensure!(named, Fault::new(ErrorKind::InvalidArgument, message()));
    Ok(archive.with_extension(""))
}

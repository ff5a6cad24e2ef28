//! `bitx decompress` and `bitx verify` for a folder of archives.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bitx::ErrorKind;
use bitx::folder::{Entry, Manifest};
use serde_json::json;

use super::archives::Archives;
use super::compress::summary;
use super::output::OutputFolder;
use super::{BaseFiles, Folder, Needed};
use crate::args::{self, Global};
use crate::checks::Checks;
use crate::fault::Fault;
use crate::files::Input;
use crate::output::Sink;
use crate::report::{Pace, print};
use crate::restoring::Restoring;
use crate::verify::{self, Verified};
use crate::{run, stdout, words};

/// A folder of archives with its base.
struct Based<'a> {
    archives: Archives,
    base: BaseFiles,
    checks: &'a Checks,
    global: &'a Global,
}

impl<'a> Based<'a> {
    fn open(base: &[&Path], archive: &Path, checks: &'a Checks, global: &'a Global) -> anyhow::Result<Self> {
        let message = "--sha256 is the digest of a file, and a folder has none: its manifest has those of its files";
        anyhow::ensure!(!checks.pins(), Fault::new(ErrorKind::InvalidArgument, message));
        let archives = Archives::open(archive)?;
        let bytes = archives.manifest.restored_bytes();
        if let Some(most) = checks.most() {
            run::ensure_fits(&archives.path.display().to_string(), bytes, most)?;
        }
        if let Some(caller) = &global.caller {
            caller.set_total(bytes);
        }
        Ok(Self { base: BaseFiles::find(base, global)?, archives, checks, global })
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
    let path = args.output.path.clone().map_or_else(|| default_path(&args.archive), Ok)?;
    let begun = Instant::now();
    let folder = restore(&args.base.paths(), &args.archive, (&path, &args.output), &args.checks, global)?;
    print_summary(&folder.manifest, "decompress", begun, &[], global)
}

/// Restores the files of the folder `archive` into the folder `output`, which has a path and
/// options.
pub fn restore(
    base: &[&Path],
    archive: &Path,
    output: (&Path, &args::Output),
    checks: &Checks,
    global: &Global,
) -> anyhow::Result<Folder> {
    let folder = Based::open(base, archive, checks, global)?;
    let inputs: Vec<&Path> = base.iter().copied().chain([archive]).collect();
    let mut output = OutputFolder::create(output.0, output.1, &inputs)?;
    let mut reports = Vec::new();
    for entry in &folder.archives.manifest.files {
        let restoring = folder.restoring(entry)?;
        let (mut file, name) = output.file(&entry.file.path)?;
        reports.push(restoring.whole(Sink { name: &name, writer: &mut file })?.0);
    }
    output.publish()?;
    Ok(Folder { manifest: folder.archives.manifest, reports })
}

pub fn verify(args: &args::Verify, global: &Global) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (folder, digests) = verified(&args.base.paths(), &args.archive, &args.checks, global)?;
    print_summary(&folder.manifest, "verify", begun, &digests, global)?;
    if !global.json && !global.quiet {
        let files = folder.manifest.files.iter().zip(&digests);
        let lines: String = files.map(|(entry, sha256)| format!("{sha256}  {}\n", entry.file.path)).collect();
        stdout::print(lines)?;
    }
    Ok(())
}

/// Decodes the archives of the folder `archive`. Returns its content, and the SHA-256 digest of
/// each file.
pub fn verified(
    base: &[&Path],
    archive: &Path,
    checks: &Checks,
    global: &Global,
) -> anyhow::Result<(Folder, Vec<String>)> {
    let folder = Based::open(base, archive, checks, global)?;
    let (mut reports, mut digests) = (Vec::new(), Vec::new());
    for entry in &folder.archives.manifest.files {
        let Verified { report, sha256, .. } = verify::digest(&folder.restoring(entry)?)?;
        reports.push(report);
        digests.push(sha256);
    }
    Ok((Folder { manifest: folder.archives.manifest, reports }, digests))
}

/// Prints the summary of a command, with the SHA-256 digests of the files that it computed.
fn print_summary(
    manifest: &Manifest,
    command: &str,
    begun: Instant,
    digests: &[String],
    global: &Global,
) -> anyhow::Result<()> {
    let pace = Pace::of(manifest.restored_bytes(), begun);
    let mut object = summary(manifest, command);
    pace.add_to(&mut object, global);
    for (i, sha256) in digests.iter().enumerate() {
        object["files"][i]["sha256"] = json!(sha256);
    }
    let (stored, restored) = (manifest.stored_bytes(), manifest.restored_bytes());
    let text = || {
        let (files, stored, restored) = (manifest.files.len(), words::size(stored), words::size(restored));
        format!("{files} files, {stored} -> {restored}, {:.3} s, {:.0} MB/s", pace.seconds, pace.mb_per_s)
    };
    print(global, text, object)
}

/// The output for a folder of archives without `-o`: its path without `.bitx`.
fn default_path(archive: &Path) -> anyhow::Result<PathBuf> {
    let named = archive.extension().is_some_and(|extension| extension == "bitx");
    let message = || format!("{}: the name does not end in .bitx; name the output with -o", archive.display());
    anyhow::ensure!(named, Fault::new(ErrorKind::InvalidArgument, message()));
    Ok(archive.with_extension(""))
}

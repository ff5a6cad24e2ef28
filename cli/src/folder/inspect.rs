//! `bitx inspect` for a folder of archives: its files, and the base that they need.

use std::path::Path;

use bitx::folder::{Entry, File};
use bitx::report::Report;
use serde_json::{Value, json};

use super::archives::Archives;
use super::compress::summary;
use super::{Folder, Needed};
use crate::args::Global;
use crate::inspect::report_of;
use crate::{stdout, words};

pub fn run(path: &Path, global: &Global) -> anyhow::Result<()> {
    let folder = content(path)?;
    stdout::print(if global.json { format!("{}\n", to_json(&folder)) } else { to_table(&folder) })
}

/// Reads the manifest in the folder `path`, and the content of its archives.
pub fn content(path: &Path) -> anyhow::Result<Folder> {
    let archives = Archives::open(path)?;
    let mut reports = Vec::new();
    for entry in &archives.manifest.files {
        let report = report_of(&archives.archive(entry)?)?;
        archives.check(entry, &report)?;
        reports.push(report);
    }
    Ok(Folder { manifest: archives.manifest, reports })
}

fn to_json(Folder { manifest, reports }: &Folder) -> Value {
    let digest = |digest: [u8; 32]| blake3::Hash::from_bytes(digest).to_string();
    let base = |file: &File| json!({ "path": file.path, "bytes": file.bytes, "blake3": digest(file.blake3) });
    let mut object = summary(manifest, "inspect");
    object["bases"] = manifest.base.iter().map(base).collect();
    for (i, (entry, report)) in manifest.files.iter().zip(reports).enumerate() {
        let file = &mut object["files"][i];
        file["blake3"] = json!(digest(entry.file.blake3));
        file["root"] = json!(digest(entry.archive.root));
        file["tensors"] = json!(report.tensors.len());
        file["bases"] = json!(entry.base);
    }
    object
}

fn to_table(Folder { manifest, reports }: &Folder) -> String {
    let names: Vec<String> = manifest.files.iter().map(|entry| words::name(&entry.file.path)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(4, 60);
    let mut table = format!("{:width$}  {:>8} {:>15} {:>15} {:>7}\n", "file", "tensors", "stored", "restored", "ratio");
    let ratio = |stored: u64, restored: u64| stored as f64 / restored.max(1) as f64;
    let row = |name: &str, entry: &Entry, report: &Report| {
        let (tensors, stored, restored) = (report.tensors.len(), entry.archive.bytes, entry.file.bytes);
        let ratio = ratio(stored, restored);
        format!("{name:width$}  {tensors:>8} {stored:>15} {restored:>15} {ratio:>7.4}\n")
    };
    let rows = manifest.files.iter().zip(&names).zip(reports);
    rows.for_each(|((entry, name), report)| table += &row(name, entry, report));
    let (files, stored, restored) = (manifest.files.len(), manifest.stored_bytes(), manifest.restored_bytes());
    table += &format!("folder, {files} files, {stored} of {restored} bytes, ratio {:.4}\n", ratio(stored, restored));
    for file in &manifest.base {
        let needed = Needed { path: Some(&file.path), length: file.bytes, blake3: file.blake3 };
        table += &format!("needs the base {}\n", needed.text());
    }
    if manifest.base.is_empty() {
        table += "needs no base\n";
    }
    table
}

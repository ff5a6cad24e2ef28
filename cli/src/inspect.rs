//! `bitx inspect ARCHIVE`: lists the tensors of an archive.

use bitx::Inspect;
use bitx::drive;
use bitx::io::ReadAt;
use bitx::report::{BaseReport, Report, TensorReport};
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::files::{Given, Input};
use crate::{folder, restoring, stdout, words};

pub fn run(args: &args::Inspect, global: &Global) -> anyhow::Result<()> {
    if args.archive.is_dir() {
        return folder::inspect(&args.archive, global);
    }
    let report = report_of(&Input::open(&args.archive)?)?;
    stdout::print(if global.json { format!("{}\n", to_json(&report)) } else { to_table(&report) })
}

/// The content of an archive.
pub fn report_of(archive: &Input) -> anyhow::Result<Report> {
    let mut job = Inspect::new(archive.file.len()).job();
    let given = Given { delta: Some(archive), ..Given::default() };
    given.with(|sources| drive::open(&mut job, sources)).map_err(|e| given.explain(e))?;
    given.check_unchanged()?;
    Ok(job.report()?)
}

fn to_json(report: &Report) -> Value {
    let tensor = |t: &TensorReport| {
        json!({
            "name": t.name,
            "dtype": t.dtype.name(),
            "shape": t.shape,
            "method": t.method.name(),
            "prediction": t.prediction.map(|p| json!({ "rank": p.rank, "saved_bytes": p.saved_bytes })),
            "stored_bytes": t.stored_bytes,
            "restored_bytes": t.restored_bytes,
        })
    };
    let base = |b: &BaseReport| json!({ "bytes": b.length, "blake3": hex(b.blake3) });
    json!({
        "command": "inspect",
        "version": report.version,
        "stored_bytes": report.stored_bytes,
        "restored_bytes": report.restored_bytes,
        "blake3": report.blake3.map(hex),
        "bases": report.bases.iter().map(base).collect::<Vec<_>>(),
        "tensors": report.tensors.iter().map(tensor).collect::<Vec<_>>(),
    })
}

fn hex(digest: [u8; 32]) -> String {
    blake3::Hash::from_bytes(digest).to_string()
}

/// The rank of a tensor's prediction and the bytes that it saved, as text. Empty without a
/// prediction.
fn predicted(tensor: &TensorReport) -> String {
    tensor.prediction.map_or_else(String::new, |p| format!("  rank {}, saved {}", p.rank, p.saved_bytes))
}

fn to_table(report: &Report) -> String {
    let names: Vec<String> = report.tensors.iter().map(|t| words::name(&t.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(6, 60);
    let ratio = |stored: u64, restored: u64| stored as f64 / restored.max(1) as f64;
    let mut table = format!(
        "{:width$}  {:<11} {:<18} {:<12} {:>13} {:>13} {:>7}\n",
        "tensor", "dtype", "shape", "method", "stored", "restored", "ratio"
    );
    for (t, name) in report.tensors.iter().zip(names) {
        table += &format!(
            "{:width$}  {:<11} {:<18} {:<12} {:>13} {:>13} {:>7.4}{}\n",
            name,
            t.dtype.name(),
            words::shape(&t.shape),
            t.method.name(),
            t.stored_bytes,
            t.restored_bytes,
            ratio(t.stored_bytes, t.restored_bytes),
            predicted(t),
        );
    }
    let (stored, restored) = (report.stored_bytes, report.restored_bytes);
    let tensors = report.tensors.len();
    table += &format!(
        "format v{}, {tensors} tensors, {stored} of {restored} bytes, ratio {:.4}\n",
        report.version,
        ratio(stored, restored)
    );
    for base in &report.bases {
        table += &format!("needs the base {}\n", restoring::base(base));
    }
    if report.bases.is_empty() {
        table += "does not state its base\n";
    }
    table
}

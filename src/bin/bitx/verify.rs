//! `bitx verify BASE ARCHIVE`

use std::io::{self, Write};

use bitx_wasm::drive::Sources;
use bitx_wasm::io::ReadAt;
use bitx_wasm::{Job, Restore};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args::{self, Global};
use crate::files::InputFile;
use crate::run::{self, Paths};
use crate::summary::Summary;

/// A sink that keeps the digest of what it is given, and nothing else.
struct Digesting(Sha256);

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(args: &args::Verify, global: &Global) -> anyhow::Result<()> {
    let (base, archive) = (InputFile::open(&args.base)?, InputFile::open(&args.archive)?);
    let sources = Sources { base: Some(&base), delta: Some(&archive), ..Sources::default() };
    let paths = Paths { base: Some(&args.base), delta: Some(&args.archive), ..Paths::default() };
    let mut job = Restore::new(base.len(), archive.len());
    let mut sink = Digesting(Sha256::new());
    let seconds = run::job(&mut job, &sources, &paths, &mut sink, global)?;
    let sha256: String = sink.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let report = job.report();
    let output_bytes = report.restored_bytes;
    let summary = Summary { command: "verify", report: &report, input_bytes: archive.len(), output_bytes, seconds };
    // v1 has no checksums: only the user, who knows the digest to expect, can tell a wrong base.
    summary.print(global, &[("sha256", json!(sha256)), ("checksums", json!(false))]);
    if !global.json && !global.quiet {
        println!("{sha256}");
        eprintln!("format v1 has no checksums: compare the SHA-256 with the published one");
    }
    Ok(())
}

//! `bitx verify BASE ARCHIVE`: decodes an archive and prints the digest of the restored file.

use std::io::{self, Write};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args::{self, Global};
use crate::restoring::Restoring;
use crate::stdout;
use crate::summary::Summary;

/// A sink that computes the digests of the bytes written to it and discards them.
#[derive(Default)]
struct Digesting {
    sha256: Sha256,
    blake3: blake3::Hasher,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sha256.update(bytes);
        self.blake3.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(args: &args::Verify, global: &Global) -> anyhow::Result<()> {
    let inputs = Restoring::open(&args.base, &args.archive)?;
    let mut sink = Digesting::default();
    let (report, seconds) = inputs.whole(&mut sink, global)?;
    let (sha256, blake3) = (sink.sha256.finalize(), sink.blake3.finalize());
    let sha256: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(stated) = report.blake3.map(blake3::Hash::from_bytes) {
        anyhow::ensure!(
            stated == blake3,
            "{}: the restored file has the wrong BLAKE3 digest (expected {stated}, found {blake3})",
            args.archive.display()
        );
    }
    let (input_bytes, output_bytes) = (inputs.archive_bytes(), report.restored_bytes);
    let summary = Summary { command: "verify", report: &report, input_bytes, output_bytes, seconds };
    let checked = report.blake3.is_some();
    let extra = [("sha256", json!(sha256)), ("blake3", json!(blake3.to_string())), ("checksums", json!(checked))];
    summary.print(global, &extra)?;
    if !global.json && !global.quiet {
        stdout::print(format!("{sha256}\n"))?;
        if !checked {
            // Without checksums, only a user who knows the digest can notice a wrong base.
            eprintln!("format v1 has no checksums: compare this SHA-256 with the one that was published");
        }
    }
    Ok(())
}

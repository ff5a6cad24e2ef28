//! `bitx verify BASE ARCHIVE`: decodes an archive and prints the digest of the restored file.

use std::io::{self, Write};

use bitx::ErrorKind;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args::{self, Global};
use crate::checks::hex;
use crate::fault::Fault;
use crate::output::Sink;
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
    let inputs = Restoring::open(&args.base, &args.archive, &args.checks, global)?;
    let mut digesting = Digesting::default();
    let (report, seconds) = inputs.whole(Sink { name: "digest", writer: &mut digesting })?;
    let (sha256, blake3) = (hex(&digesting.sha256.finalize().into()), digesting.blake3.finalize());
    if let Some(stated) = report.blake3.map(blake3::Hash::from_bytes) {
        let message = || {
            format!(
                "{}: the archive is damaged: the restored file has the wrong BLAKE3 digest: expected {stated}, found \
                 {blake3}",
                inputs.archive_name()
            )
        };
        anyhow::ensure!(stated == blake3, Fault::new(ErrorKind::Corrupt, message()));
    }
    let (input_bytes, output_bytes) = (inputs.archive_bytes(), report.restored_bytes);
    let summary = Summary { command: "verify", report: &report, input_bytes, output_bytes, seconds };
    let checked = report.blake3.is_some();
    let extra = [("sha256", json!(sha256)), ("blake3", json!(blake3.to_string())), ("checksums", json!(checked))];
    summary.print(global, &extra)?;
    if !global.json && !global.quiet {
        stdout::print(format!("{sha256}\n"))?;
    }
    inputs.warn_of_unchecked(&report);
    Ok(())
}

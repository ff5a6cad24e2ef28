//! `bitx verify BASE ARCHIVE`: decodes an archive and prints the digest of the restored file.

use std::io::{self, Write};

use bitx::ErrorKind;
use bitx::report::Report;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args::{self, Global};
use crate::checks::hex;
use crate::fault::Fault;
use crate::output::Sink;
use crate::restoring::Restoring;
use crate::summary::Summary;
use crate::{folder, stdout};

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
    if args.archive.is_dir() {
        return folder::verify(args, global);
    }
    let inputs = Restoring::open(&args.base, &args.archive, &args.checks, global)?;
    let Verified { report, seconds, sha256, blake3 } = digest(&inputs)?;
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

/// The result of decoding an archive.
pub struct Verified {
    pub report: Report,
    pub seconds: f64,
    pub sha256: String,
    pub blake3: blake3::Hash,
}

/// Decodes an archive, and compares the digest of the restored file with the one that the archive
/// states.
pub fn digest(inputs: &Restoring<'_>) -> anyhow::Result<Verified> {
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
    Ok(Verified { report, seconds, sha256, blake3 })
}

//! Checks of a restored file: the length that it may have, and the digest that it must have.

use std::io::{self, Write};

use bytesize::ByteSize;
use clap::Args;
use sha2::{Digest, Sha256};

use crate::fault::Fault;
use crate::output::Sink;

/// The options of a command that restores.
#[derive(Debug, Args)]
pub struct Checks {
    /// Fail without output if it would be larger than this, such as 20GB
    #[arg(long, value_name = "BYTES")]
    max_output: Option<ByteSize>,
    /// Fail unless the output has this SHA-256 digest; format v1 cannot notice a wrong base
    /// otherwise
    #[arg(long, value_name = "HEX", value_parser = digest)]
    sha256: Option<[u8; 32]>,
}

impl Checks {
    /// Checks of the length only.
    pub fn limited(most: Option<u64>) -> Self {
        Self { max_output: most.map(ByteSize), sha256: None }
    }

    /// The maximum length of the output in bytes.
    pub fn most(&self) -> Option<u64> {
        self.max_output.map(|size| size.as_u64())
    }

    /// Returns `true` if the output is compared with a digest.
    pub fn pins(&self) -> bool {
        self.sha256.is_some()
    }

    /// Calls `write` with a sink that passes its bytes on to `sink`, and compares the digest of
    /// these bytes with the one that is expected, if there is one. `source` names the archive in
    /// the error.
    pub fn checking<R>(
        &self,
        sink: Sink<'_>,
        source: &str,
        write: impl FnOnce(&mut Sink<'_>) -> anyhow::Result<R>,
    ) -> anyhow::Result<R> {
        let Some(expected) = self.sha256 else {
            let Sink { name, writer } = sink;
            return write(&mut Sink { name, writer });
        };
        let mut hashing = Hashing { writer: sink.writer, sha256: Sha256::new() };
        let done = write(&mut Sink { name: sink.name, writer: &mut hashing })?;
        check(source, expected, &hashing.sha256.finalize().into())?;
        Ok(done)
    }
}

fn check(source: &str, expected: [u8; 32], found: &[u8; 32]) -> anyhow::Result<()> {
    let message = || {
        let (expected, found) = (hex(&expected), hex(found));
        format!(
            "{source}: the restored file has another SHA-256 digest than it must have: the base is another model, or \
             the archive is damaged: expected {expected}, found {found}"
        )
    };
    anyhow::ensure!(expected == *found, Fault::named("integrity", message()));
    Ok(())
}

/// A digest in hexadecimal digits.
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A writer that computes the digest of the bytes that it passes on.
struct Hashing<'a> {
    writer: &'a mut (dyn Write + Send),
    sha256: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Parses a digest of 64 hexadecimal digits.
fn digest(text: &str) -> Result<[u8; 32], String> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 64).ok_or("the digest must have 64 hexadecimal digits")?;
    Ok(std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_parsed_strictly() {
        let text = "00ff".repeat(16);
        assert_eq!(digest(&text.to_uppercase()).map(|bytes| hex(&bytes)), Ok(text.clone()));
        for wrong in ["", "00", &text[1..], &format!("{text}0"), &format!("0x{}", &text[2..]), "é"] {
            assert!(digest(wrong).is_err(), "{wrong}");
        }
    }
}

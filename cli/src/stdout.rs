//! What commands print, and a reader of it that has had enough.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// Prints to standard output, and to no buffer of this process.
pub fn print(text: impl AsRef<str>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref().as_bytes()).and_then(|()| stdout.flush()).context("standard output")
}

/// Whether `error` is that nobody reads the output any longer, as behind `| head`.
pub fn is_closed(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken))
}

//! Standard output: printing, and recognising that its reader has closed it.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// Prints to standard output and flushes it, so that errors are reported here.
pub fn print(text: impl AsRef<str>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref().as_bytes()).and_then(|()| stdout.flush()).context("standard output")
}

/// Returns `true` if `error` was caused by a closed output pipe, as behind `| head`.
pub fn is_closed(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken))
}

//! The report that a command prints at its end: a line of text, or one JSON object.

use std::time::Instant;

use serde_json::{Value, json};

use crate::args::Global;
use crate::stdout;

/// Prints `text` to standard error, or `object` to standard output if `--json` is given.
pub fn print(global: &Global, text: impl FnOnce() -> String, object: Value) -> anyhow::Result<()> {
    if global.json {
        stdout::print(format!("{object}\n"))?;
    } else if !global.quiet {
        eprintln!("{}", text());
    }
    Ok(())
}

/// The duration and throughput of a command that reads or writes models.
pub struct Pace {
    pub seconds: f64,
    /// Megabytes of the models per second, of 10^6 bytes each.
    pub mb_per_s: f64,
}

impl Pace {
    pub fn of(bytes: u64, begun: Instant) -> Self {
        let seconds = begun.elapsed().as_secs_f64();
        Self { seconds, mb_per_s: bytes as f64 / 1e6 / seconds.max(1e-9) }
    }

    /// Adds the figures to the JSON object of a command.
    pub fn add_to(&self, object: &mut Value, global: &Global) {
        object["seconds"] = json!(self.seconds);
        object["mb_per_s"] = json!(self.mb_per_s);
        object["threads"] = json!(global.threads());
    }
}

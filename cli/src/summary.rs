//! The summary that a command prints at its end: one line of text, or one JSON object.

use bitx::report::Report;
use serde_json::{Map, Value, json};

use crate::args::Global;
use crate::{report, words};

/// The figures of a finished command. `ratio` is stored bytes divided by restored bytes; `mb_per_s`
/// counts 10^6 bytes of the restored file.
pub struct Summary<'a> {
    pub command: &'static str,
    pub report: &'a Report,
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub seconds: f64,
}

impl Summary<'_> {
    fn ratio(&self) -> f64 {
        self.report.stored_bytes as f64 / self.report.restored_bytes.max(1) as f64
    }

    fn mb_per_s(&self) -> f64 {
        self.report.restored_bytes as f64 / 1e6 / self.seconds.max(1e-9)
    }

    /// Prints the summary in the form that `global` selects. The fields in `extra` are added to the
    /// JSON object.
    pub fn print(&self, global: &Global, extra: &[(&str, Value)]) -> anyhow::Result<()> {
        report::print(global, || self.to_text(), self.to_json(global, extra))
    }

    fn to_text(&self) -> String {
        let counts: Vec<String> =
            self.report.method_counts().iter().map(|(method, n)| format!("{n} {}", method.name())).collect();
        format!(
            "{} -> {}, ratio {:.4}, {:.3} s, {:.0} MB/s, tensors: {}",
            words::size(self.input_bytes),
            words::size(self.output_bytes),
            self.ratio(),
            self.seconds,
            self.mb_per_s(),
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") },
        )
    }

    fn to_json(&self, global: &Global, extra: &[(&str, Value)]) -> Value {
        let methods: Map<String, Value> =
            self.report.method_counts().iter().map(|(method, n)| (method.name().to_owned(), json!(n))).collect();
        let mut object = json!({
            "command": self.command,
            "version": self.report.version,
            "input_bytes": self.input_bytes,
            "output_bytes": self.output_bytes,
            "ratio": self.ratio(),
            "seconds": self.seconds,
            "mb_per_s": self.mb_per_s(),
            "threads": global.threads(),
            "methods": methods,
        });
        extra.iter().for_each(|(key, value)| object[*key] = value.clone());
        object
    }
}

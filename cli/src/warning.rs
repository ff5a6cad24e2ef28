//! Warnings on standard error: lines of text, or JSON objects.

use serde_json::json;

use crate::args::Global;
use crate::words;

/// Prints a warning, unless `--quiet` is given. `text` names the file that it is about.
pub fn warn(global: &Global, text: &str) {
    let text = words::message(text);
    match (global.quiet, global.json) {
        (true, _) => {}
        (false, true) => eprintln!("{}", json!({ "warning": text })),
        (false, false) => eprintln!("bitx: warning: {text}"),
    }
}

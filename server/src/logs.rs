//! The log, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Readable lines, in colour on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts to log to standard error. `filter` selects the levels and modules, such as `info` or
/// `bitx_server=debug`.
///
/// # Errors
/// A message, if the filter does not parse or the process has a logger already.
pub fn log(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    // Colours only on a terminal.
    let ansi = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi);
    let done = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    done.map_err(|error| error.to_string())
}

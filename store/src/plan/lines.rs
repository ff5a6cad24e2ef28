//! Surveys and plans as JSON Lines, of which each line ends with the digest of the rest.

use std::io::BufRead;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::sealed;

/// The version of surveys and plans.
pub(super) const VERSION: u32 = 1;

/// A line of a survey or of a plan.
pub(super) trait Line: Serialize + DeserializeOwned {
    /// The version that the line states.
    fn version(&self) -> u32;

    /// Checks what the grammar does not.
    ///
    /// # Errors
    /// `Argument`.
    fn check(&self) -> Result<()>;
}

/// Serializes a line, which ends with a line break.
pub(super) fn write(line: &impl Line) -> Result<String> {
    let mut bytes = sealed::json("line", line)?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(|error| Error::Argument(error.to_string()))
}

/// Reads all lines of `input`, whose errors name it as `name`. Blank lines count for nothing.
pub(super) fn read<L: Line>(input: impl BufRead, name: &str) -> Result<Vec<L>> {
    let mut lines = Vec::new();
    for (number, line) in input.lines().enumerate() {
        let line = line.map_err(Error::file(name))?;
        if !line.trim().is_empty() {
            let wrong = |problem: String| Error::Argument(format!("{name}: line {}: {problem}", number + 1));
            lines.push(parse(line.trim_end()).map_err(wrong)?);
        }
    }
    Ok(lines)
}

fn parse<L: Line>(line: &str) -> Result<L, String> {
    let body = sealed::body("line", line.as_bytes()).map_err(|_| "it does not match its digest".to_owned())?;
    let line: L = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    if line.version() != VERSION {
        return Err(format!("version {} is not supported: a later release of bitx is needed", line.version()));
    }
    line.check().map_err(|error| error.to_string())?;
    Ok(line)
}

//! Errors as the command line states them: one line of text, or one JSON object.

use std::ffi::OsString;
use std::fmt;

use bitx::ErrorKind;
use serde_json::{Value, json};

use crate::words;

/// The exit code of a failure.
const FAILURE: u8 = 1;

/// The exit code of wrong usage.
const USAGE: u8 = 2;

/// An error of the command line, with the stable name of its kind.
#[derive(Debug)]
pub struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    /// Creates an error of a kind of the codec.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::named(kind.code(), message)
    }

    /// Creates an error of a kind with this name.
    pub fn named(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// A failure of a function of this library.
#[derive(Debug)]
pub struct Failure {
    /// The stable name of the kind of the error.
    pub code: &'static str,
    /// One line that names the file.
    pub message: String,
    /// The path of the file, if it is known apart from the message.
    pub file: Option<String>,
}

impl Failure {
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let file = error.chain().find_map(|cause| match cause.downcast_ref() {
            Some(bitx_store::Error::File { path, .. }) => Some(path.display().to_string()),
            _ => None,
        });
        Self { code: code(error), message: words::message(&explained(error)), file }
    }
}

/// Prints the error of a command to standard error, and returns the exit code.
pub fn report(error: &anyhow::Error, command: &str, json: bool) -> u8 {
    let Failure { code, message, .. } = Failure::of(error);
    if json {
        eprintln!("{}", object(code, &message, Some(command)));
    } else {
        eprintln!("bitx: {message}");
    }
    FAILURE
}

/// Prints the error of a line that does not parse, or the help that it asked for, and returns the
/// exit code.
pub fn usage(error: &clap::Error, args: &[OsString]) -> u8 {
    if !error.use_stderr() || !args.iter().any(|arg| arg == "--json") {
        error.exit();
    }
    let text = error.to_string();
    let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    eprintln!("{}", object("usage", &words::message(&message.replace('\n', " ")), None));
    USAGE
}

fn object(code: &str, message: &str, command: Option<&str>) -> Value {
    let mut object = json!({ "error": { "code": code, "message": message } });
    if let Some(command) = command {
        object["command"] = json!(command);
    }
    object
}

/// The stable name of the kind of an error.
pub fn code(error: &anyhow::Error) -> &'static str {
    let known = |cause: &(dyn std::error::Error + 'static)| {
        let fault = cause.downcast_ref::<Fault>().map(|fault| fault.code);
        let codec = || cause.downcast_ref::<bitx::Error>().map(|error| error.kind().code());
        let store = || cause.downcast_ref::<bitx_store::Error>().map(bitx_store::Error::code);
        let system = || cause.downcast_ref::<std::io::Error>().map(|_| "io");
        fault.or_else(codec).or_else(store).or_else(system)
    };
    error.chain().find_map(known).unwrap_or("failed")
}

/// The message of an error followed by its causes. A cause that the text already contains is left
/// out.
fn explained(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

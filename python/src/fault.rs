//! Failures as Python sees them: the exception `bitx.Error`.

use std::io;

use bitx::drive::DriveError;
use bitx::{Error, ErrorKind};
use pyo3::prelude::*;

/// A failure with everything that the exception states.
#[derive(Debug)]
pub struct Fault {
    code: &'static str,
    message: String,
    file: Option<String>,
    tensor: Option<String>,
    cause: Option<Box<PyErr>>,
}

/// The code of failures of the system.
const IO: &str = "io";

impl Fault {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::named(kind.code(), message)
    }

    pub fn named(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), file: None, tensor: None, cause: None }
    }

    /// The failure of a read or a write. An exception that a Python object raised becomes the
    /// cause.
    pub fn io(error: io::Error) -> Self {
        let error = match error.downcast::<DriveError>() {
            Ok(error) => return Self::from(error),
            Err(error) => error,
        };
        match error.downcast::<Error>() {
            Ok(error) => Self::from(error),
            Err(error) => {
                let message = error.to_string();
                Self { cause: Some(Box::new(PyErr::from(error))), ..Self::named(IO, message) }
            }
        }
    }

    /// Adds the file at fault: `label` names it in the message, and `file` is its path, if it has
    /// one.
    #[must_use]
    pub fn of(self, label: &str, file: Option<&str>) -> Self {
        Self { message: format!("{label}: {}", self.message), file: file.map(str::to_owned), ..self }
    }
}

impl Fault {
    /// Sets the path of the file at fault, which the message names already.
    #[must_use]
    pub fn at(self, file: Option<String>) -> Self {
        Self { file, ..self }
    }

    /// Adds to the message what helps against the failure, if that is known.
    #[must_use]
    pub fn with_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => Self { message: format!("{}; {hint}", self.message), ..self },
            None => self,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let tensor = error.tensor_name().map(str::to_owned);
        Self { tensor, ..Self::new(error.kind(), error.to_string()) }
    }
}

impl From<DriveError> for Fault {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Job(error) => error.into(),
            DriveError::Read(_, error) | DriveError::Write(error) => Self::io(error),
        }
    }
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        let Fault { code, message, file, tensor, cause } = fault;
        Python::attach(|py| {
            let class = py.import("bitx._error").and_then(|module| module.getattr("Error"));
            match class.and_then(|class| class.call1((message, code, file, tensor))) {
                Ok(error) => {
                    let error = Self::from_value(error);
                    error.set_cause(py, cause.map(|cause| *cause));
                    error
                }
                Err(error) => error,
            }
        })
    }
}

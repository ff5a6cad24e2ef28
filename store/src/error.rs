//! The store's one error type.

use std::io;
use std::path::PathBuf;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage refused or lost a request.
    #[error("{key}: {source}")]
    Storage {
        /// What was asked for.
        key: String,
        /// What the storage said.
        source: object_store::Error,
    },
    /// A file outside the store could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A model's file is not what it should be.
    #[error("{}: {source}", path.display())]
    Model {
        /// Which file.
        path: PathBuf,
        /// What the codec said.
        source: bitx::Error,
    },
    /// What is stored is not what was stored.
    #[error("{key}: damaged: {problem}")]
    Damaged {
        /// Which object.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No model, file or tensor of that name.
    #[error("there is no {0}")]
    NotFound(String),
    /// The caller's arguments are wrong.
    #[error("{0}")]
    Argument(String),
    /// The store was laid out by a later version.
    #[error("{0}")]
    Unsupported(String),
    /// A writer was silent for so long that it was taken for dead; nothing of it was published.
    #[error("this writer was silent for too long and was taken for dead; nothing was published, start it again")]
    Expired,
}

impl Error {
    /// A stable lower-case name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Storage { .. } => "storage",
            Self::File { .. } => "io",
            Self::Model { source, .. } => source.kind().code(),
            Self::Damaged { .. } => "damaged",
            Self::NotFound(_) => "not-found",
            Self::Argument(_) => "invalid-argument",
            Self::Unsupported(_) => "unsupported",
            Self::Expired => "expired",
        }
    }

    pub(crate) fn damaged(key: impl Into<String>, problem: impl ToString) -> Self {
        Self::Damaged { key: key.into(), problem: problem.to_string() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

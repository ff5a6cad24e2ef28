//! The error type of the store.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the storage failed.
    #[error("{key}: {source}")]
    Storage {
        /// The key of the object or listing.
        key: String,
        /// The error of the storage.
        source: object_store::Error,
    },
    /// A file outside the store could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// An object is missing, or its bytes are not those that were stored.
    #[error("the store is damaged: {key}: {problem}")]
    Damaged {
        /// The key of the object.
        key: String,
        /// The damage.
        problem: String,
    },
    /// There is no model, file or tensor of the requested name.
    #[error("there is no {0}")]
    NotFound(String),
    /// An argument of the caller is invalid.
    #[error("{0}")]
    Argument(String),
    /// The store was written by a later version of this crate.
    #[error("{0}")]
    Unsupported(String),
    /// A collection took this writer for dead, since it gave no sign of life for too long. Nothing
    /// was published.
    #[error(
        "a collection took this writer for dead, since it gave no sign of life for too long; nothing was published, \
         so add the model again"
    )]
    Expired,
    /// The caller stopped the work.
    #[error("the work was stopped")]
    Stopped,
}

impl Error {
    /// A stable lower-case name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Storage { .. } => "storage",
            Self::File { .. } => "io",
            Self::Damaged { .. } => "damaged",
            Self::NotFound(_) => "not-found",
            Self::Argument(_) => "invalid-argument",
            Self::Unsupported(_) => "unsupported",
            Self::Expired => "expired",
            Self::Stopped => "stopped",
        }
    }

    pub(crate) fn damaged(key: impl Into<String>, problem: impl ToString) -> Self {
        Self::Damaged { key: key.into(), problem: problem.to_string() }
    }

    /// Returns `true` if an object of the store is to blame, and not the storage or the caller.
    pub(crate) fn is_of_object(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Unsupported(_))
    }

    /// Returns `true` if there is no space left on the disk.
    pub(crate) fn is_full(&self) -> bool {
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(cause) = error {
            if let Some(cause) = cause.downcast_ref::<io::Error>()
                && matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            {
                return true;
            }
            error = cause.source();
        }
        false
    }

    pub(crate) fn unsupported(key: &str, version: impl Display) -> Self {
        Self::Unsupported(format!("{key}: version {version} is not supported: a later release of bitx is needed"))
    }

    /// Returns a function that wraps an error of the system in [`Error::File`].
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

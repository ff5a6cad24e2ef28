//! The one error type: what went wrong, where, and with which figures.

use std::fmt;

use crate::io::Source;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is not the kind of file it should be: an HTML page, a git-lfs pointer, a wrong magic.
    Format,
    /// The input contradicts itself; fetch it again.
    Corrupt,
    /// The input ends before what it declares.
    Truncated,
    /// A valid input that this version or this format cannot express: an unknown version, method or dtype.
    Unsupported,
    /// The base is not the model that the archive was made against.
    BaseMismatch,
    /// The input asks for more than the documented limits.
    Limit,
    /// The caller's arguments are wrong.
    InvalidArgument,
}

impl ErrorKind {
    /// A stable name, the `code` of the npm package's errors.
    pub fn code(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::Unsupported => "unsupported",
            Self::BaseMismatch => "base-mismatch",
            Self::Limit => "limit",
            Self::InvalidArgument => "invalid-argument",
        }
    }
}

/// Any failure of the core: a [kind](ErrorKind), a sentence, and where known the input, the tensor,
/// the offset and the figures that did not agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    kind: ErrorKind,
    message: String,
    input: Option<Source>,
    tensor: Option<String>,
    offset: Option<u64>,
    figures: Option<(String, String)>,
}

impl Error {
    /// An error of `kind`; `message` is a lower-case sentence without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            message: message.into(),
            input: None,
            tensor: None,
            offset: None,
            figures: None,
        }))
    }

    pub(crate) fn format(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Format, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn truncated(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Truncated, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn base_mismatch(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BaseMismatch, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message)
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Names the input at fault, unless a closer place already did.
    pub(crate) fn input(mut self, input: Source) -> Self {
        self.0.input.get_or_insert(input);
        self
    }

    /// Names the tensor at fault, unless a closer place already did.
    pub(crate) fn tensor(mut self, name: &str) -> Self {
        self.0.tensor.get_or_insert_with(|| name.to_owned());
        self
    }

    /// Where in the input, in bytes from its start.
    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// The two figures that should have agreed.
    pub(crate) fn figures(mut self, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        self.0.figures = Some((expected.to_string(), found.to_string()));
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The input at fault, if it is one input's fault.
    pub fn input_at_fault(&self) -> Option<Source> {
        self.0.input
    }

    /// The tensor at fault.
    pub fn tensor_name(&self) -> Option<&str> {
        self.0.tensor.as_deref()
    }

    /// Offset in the input, in bytes.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// What was expected.
    pub fn expected(&self) -> Option<&str> {
        self.0.figures.as_ref().map(|f| f.0.as_str())
    }

    /// What was found instead.
    pub fn found(&self) -> Option<&str> {
        self.0.figures.as_ref().map(|f| f.1.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { message, tensor, offset, figures, .. } = &*self.0;
        if let Some(name) = tensor {
            write!(f, "tensor {name:?}: ")?;
        }
        f.write_str(message)?;
        if let Some((expected, found)) = figures {
            write!(f, ": expected {expected}, found {found}")?;
        }
        if let Some(offset) = offset {
            write!(f, " (at byte {offset})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_tensor_figures_and_place() {
        let error = Error::corrupt("wrong length").tensor("a.b").figures(4, 7).at(12).input(Source::Delta);
        assert_eq!(error.to_string(), "tensor \"a.b\": wrong length: expected 4, found 7 (at byte 12)");
        assert_eq!(error.kind().code(), "corrupt");
        assert_eq!(error.input_at_fault(), Some(Source::Delta));
    }

    #[test]
    fn the_closest_place_wins() {
        let error = Error::corrupt("x").tensor("inner").tensor("outer").input(Source::Base(0)).input(Source::Delta);
        assert_eq!(error.tensor_name(), Some("inner"));
        assert_eq!(error.input_at_fault(), Some(Source::Base(0)));
    }
}

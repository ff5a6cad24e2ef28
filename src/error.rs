//! The one error type of the crate: a fault, its place and the figures that did not agree.

use std::fmt::{self, Write as _};

use crate::io::Source;
use crate::quoted::Quoted;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an [`Error`], which decides what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is not of the expected kind of file: it is an HTML page, a git-lfs pointer, or has
    /// another magic.
    Format,
    /// The input contradicts itself. Fetching it again may help.
    Corrupt,
    /// The input is shorter than it declares.
    Truncated,
    /// The input is valid, but this release or this format does not support it: it has an unknown
    /// version, method or dtype.
    Unsupported,
    /// The base is not the model that the archive was made against.
    BaseMismatch,
    /// The input exceeds a documented limit.
    Limit,
    /// An argument of the caller is wrong.
    InvalidArgument,
}

impl ErrorKind {
    /// The stable name of the kind: the `code` of the npm package's errors.
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

/// Maximum number of characters of a message, and of a name or figure in an error. Inputs may have
/// names and shapes of megabytes, which would go to terminals, logs and answers of servers.
const MOST: usize = 240;

/// A failure of the core: a [kind](ErrorKind) and a message. If they are known, it also has the
/// input, the tensor, the offset, and the two figures that did not agree. Names and figures are cut
/// to 240 characters.
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
    /// Creates an error of `kind`. `message` is a lower-case sentence without a full stop.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            message: cut(message.into()),
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

    /// Adds the input at fault, unless it has been added closer to the fault.
    pub(crate) fn input(mut self, input: Source) -> Self {
        self.0.input.get_or_insert(input);
        self
    }

    /// Adds the tensor at fault, unless it has been added closer to the fault.
    pub(crate) fn tensor(mut self, name: &str) -> Self {
        self.0.tensor.get_or_insert_with(|| cut(name));
        self
    }

    /// Adds the offset of the fault, in bytes from the start of the input.
    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Adds the two figures that should have agreed.
    pub(crate) fn figures(self, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        self.with_figures(&expected, &found)
    }

    /// Adds figures of any types, by code that is there once.
    #[cold]
    fn with_figures(mut self, expected: &dyn fmt::Display, found: &dyn fmt::Display) -> Self {
        self.0.figures = Some((cut(expected), cut(found)));
        self
    }

    /// The class of the error, which decides what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The input at fault, if there is a single one.
    pub fn input_at_fault(&self) -> Option<Source> {
        self.0.input
    }

    /// The name of the tensor at fault, if there is one. A long name is cut.
    pub fn tensor_name(&self) -> Option<&str> {
        self.0.tensor.as_deref()
    }

    /// The offset of the fault in the input, in bytes, if it is known.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The figure that was expected, if there is one.
    pub fn expected(&self) -> Option<&str> {
        self.0.figures.as_ref().map(|f| f.0.as_str())
    }

    /// The figure that was found instead, if there is one.
    pub fn found(&self) -> Option<&str> {
        self.0.figures.as_ref().map(|f| f.1.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { kind, message, input, tensor, offset, figures } = &*self.0;
        match (kind, input) {
            (ErrorKind::Corrupt, Some(Source::Delta)) => f.write_str("the archive is damaged: ")?,
            (ErrorKind::Truncated, Some(Source::Delta)) => f.write_str("the archive is damaged or incomplete: ")?,
            _ => {}
        }
        if let Some(name) = tensor {
            write!(f, "tensor {}: ", Quoted(name))?;
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

/// Returns the text of `value`, of which it formats only the first [`MOST`] characters.
pub(crate) fn cut(value: impl fmt::Display) -> String {
    cut_any(&value)
}

fn cut_any(value: &dyn fmt::Display) -> String {
    let mut text = Cut { text: String::new(), left: MOST };
    if write!(text, "{value}").is_err() {
        text.text.push('…');
    }
    text.text
}

/// A text that takes no more than some characters.
struct Cut {
    text: String,
    left: usize,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let end = more.char_indices().nth(self.left).map_or(more.len(), |(end, _)| end);
        self.text.push_str(&more[..end]);
        self.left -= more[..end].chars().count();
        if end == more.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_and_figures_are_cut() {
        let (name, shape) = ("ü".repeat(1 << 20), vec![u64::MAX; 1 << 20]);
        let figures = Error::corrupt(format!("no {name}")).tensor(&name).figures(format_args!("{shape:?}"), &name);
        assert!(figures.to_string().chars().count() < 5 * MOST, "{figures}");
        assert!(figures.tensor_name().is_some_and(|cut| cut.ends_with("ü…")));
        assert_eq!(cut("ü".repeat(MOST)), "ü".repeat(MOST));
    }

    #[test]
    fn damaged_archives_are_called_damaged() {
        let text = |error: Error, input| error.input(input).to_string();
        assert_eq!(text(Error::corrupt("x"), Source::Delta), "the archive is damaged: x");
        assert_eq!(text(Error::truncated("x"), Source::Delta), "the archive is damaged or incomplete: x");
        assert_eq!(text(Error::corrupt("x"), Source::Base(0)), "x");
        assert_eq!(text(Error::limit("x"), Source::Delta), "x");
    }

    #[test]
    fn messages_name_tensor_figures_and_offset() {
        let error = Error::corrupt("wrong length").tensor("a.b").figures(4, 7).at(12).input(Source::Delta);
        assert_eq!(
            error.to_string(),
            "the archive is damaged: tensor \"a.b\": wrong length: expected 4, found 7 (at byte 12)"
        );
        assert_eq!(error.kind().code(), "corrupt");
        assert_eq!(error.input_at_fault(), Some(Source::Delta));
    }

    #[test]
    fn the_place_closest_to_the_fault_wins() {
        let error = Error::corrupt("x").tensor("inner").tensor("outer").input(Source::Base(0)).input(Source::Delta);
        assert_eq!(error.tensor_name(), Some("inner"));
        assert_eq!(error.input_at_fault(), Some(Source::Base(0)));
    }
}

//! Incremental readers of the layout of a file: of one kind that is known, or of any kind.

mod any;
mod kind;

pub(crate) use any::{Accept, LayoutReader};
pub(crate) use kind::KindReader;

/// Bytes of the first read: enough to tell the kind of a file, and usually to hold all of its
/// header.
pub(super) const FIRST_READ: u64 = 64 * 1024;

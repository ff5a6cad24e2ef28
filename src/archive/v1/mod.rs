//! BITXv001, the reference command line's format; `docs/FORMAT.md` has its bytes.
//!
//! It has no checksums of its own: a wrong base of equal shapes restores wrong bytes, and no reader can
//! notice. Nor can it notice most bits flipped inside the reference's frames; ours carry zstd's checksum.

mod index;
mod report;
mod write;

pub(crate) use index::{Entry, Index, IndexReader, Part, Stream};
pub(crate) use write::{Coded, begin_archive, write_alone, write_paired};

/// The version that the magic states.
pub const VERSION: u32 = 1;

pub(crate) const MAGIC: &[u8; 8] = b"BITXv001";

/// Introduces a stream of several zstd frames; a zstd frame begins otherwise.
pub(crate) const ZIDX: &[u8; 4] = b"ZIDX";

/// Bytes before the first part length of a `ZIDX` stream: its magic and the number of parts.
pub(crate) const ZIDX_HEAD: u64 = 8;

/// Bytes per part in the table of a `ZIDX` stream.
pub(crate) const ZIDX_ROW: u64 = 8;

/// Entry type: XOR with the base's tensor of the same name.
pub(crate) const TYPE_PAIRED: u8 = 0;

/// Entry type: stored without a base.
pub(crate) const TYPE_ALONE: u8 = 1;

/// The largest piece (a part of a tensor that has to be decoded whole) that is restored, in bytes.
///
/// The reference writes parts of 16 MiB; wasm memory sets the bound.
pub const MAX_PIECE: u64 = 256 << 20;

/// The most bytes between tensors that are restored (as zeros, which is all that v1 knows of them).
pub const MAX_HOLES: u64 = 16 << 20;

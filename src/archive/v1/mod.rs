//! BITXv001, the format of the reference command line; `docs/FORMAT.md` describes its bytes.
//!
//! The container has no checksums. A wrong base with tensors of the same names, dtypes and shapes
//! restores wrong bytes, and no reader can notice. Most flipped bits in the reference's zstd frames
//! go unnoticed too; the frames of our writer carry zstd's own checksum.

mod index;
mod parts;
mod report;
mod write;

pub(crate) use index::{Entry, Index, IndexReader};
pub(crate) use parts::{Part, Stream};
pub(crate) use write::{Coded, begin_archive, write_alone, write_paired};

/// The version that the magic states.
pub const VERSION: u32 = 1;

pub(crate) const MAGIC: &[u8; 8] = b"BITXv001";

/// Magic of a stream of several zstd frames. No zstd frame begins with it.
pub(crate) const ZIDX: &[u8; 4] = b"ZIDX";

/// Bytes before the table of a `ZIDX` stream: its magic and the number of parts.
pub(crate) const ZIDX_HEAD: u64 = 8;

/// Bytes per part in the table of a `ZIDX` stream.
pub(crate) const ZIDX_ROW: u64 = 8;

/// Entry type of a tensor stored as its XOR with the base's tensor of the same name.
pub(crate) const TYPE_PAIRED: u8 = 0;

/// Entry type of a tensor stored without a base.
pub(crate) const TYPE_ALONE: u8 = 1;

/// Maximum size of a piece (bytes of a tensor that have to be decoded at once) that is restored.
///
/// The reference writes parts of 16 MiB; the memory of wasm sets the limit.
pub const MAX_PIECE: u64 = 256 << 20;

/// Maximum number of bytes between tensors that are restored. They are zeros: v1 does not store
/// their content, and a forged header must not ask for terabytes of them.
pub const MAX_HOLES: u64 = 16 << 20;

//! Interleaved rANS: entropy coding of symbols in contexts, each context with a frequency table.
//!
//! Symbols are cut into blocks of [`BLOCK`]; block `b` belongs to group `b % 4`. Each group is a
//! coder of its own, with [`LANES`] states that take turns symbol by symbol and share one stream of
//! 16-bit words. The lanes keep a scalar processor busy, and the groups a vector unit.
//!
//! A state `x` stays in 2^15..2^31. A symbol has the frequency `f` and the start `c`, the sum of
//! the frequencies before it. Decoding it sets `x = f * (x >> 11) + (x & 2047) - c`. If that is
//! below 2^15, it then sets `x = x << 16 | next word`.
//!
//! Sources: J. Duda, <https://arxiv.org/abs/1311.2540>; for the interleaving, F. Giesen,
//! <https://arxiv.org/abs/1402.3392>.

mod decoder;
mod encoder;
mod kernels;

pub(crate) use decoder::{Decoder, Group};
pub(crate) use encoder::Encoder;

/// Symbols per block.
pub(crate) const BLOCK: usize = 1024;

/// States per group.
pub(crate) const LANES: usize = 8;

/// Groups, if there are that many blocks.
pub(crate) const GROUPS: usize = 4;

/// The smallest state, and the state from which encoding starts.
const LOW: u32 = 1 << 15;

/// Bytes of a group's states.
const STATES: usize = LANES * 4;

/// Symbols of a strip, which is one block of every group.
pub(crate) const STRIP: usize = BLOCK * GROUPS;

/// Returns the number of groups that code `symbols` symbols.
pub(crate) fn groups(symbols: usize) -> usize {
    symbols.div_ceil(BLOCK).min(GROUPS)
}

#[cfg(test)]
mod tests;

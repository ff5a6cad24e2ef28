//! Interleaved rANS: entropy coding of symbols in contexts, each context with a frequency table.
//!
//! Symbols come in strips of at most [`STRIP`]. Those of a strip take turns among the states, from
//! the first state on. A list of many symbols has [`GROUPS`] groups of [`LANES`] states; each group
//! has its own stream of 16-bit words. The lanes keep a scalar processor busy, and the groups a
//! vector unit. Lists of little content have fewer states, since each costs four bytes.
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

/// The largest number of states per group.
const LANES: usize = 8;

/// The largest number of groups.
const GROUPS: usize = 4;

/// The largest number of states, each of which codes one symbol of a row.
const ROW: usize = GROUPS * LANES;

/// The largest number of symbols in a strip, a whole number of rows.
pub(crate) const STRIP: usize = 4096;

/// The largest number of words that a group takes in a strip.
const WORDS: usize = STRIP / GROUPS;

/// The smallest state, and the state from which encoding starts.
const LOW: u32 = 1 << 15;

/// The numbers of groups and states of a list of symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    groups: usize,
    lanes: usize,
}

/// The shapes that lists have, by their numbers in the format.
const SHAPES: [Shape; 3] =
    [Shape { groups: 1, lanes: 1 }, Shape { groups: 1, lanes: LANES }, Shape { groups: GROUPS, lanes: LANES }];

impl Shape {
    /// Returns the number of the shape for a list of `symbols` symbols that take about `bytes`
    /// bytes: as many states as hardly matter beside the bytes.
    pub(crate) fn number_for(symbols: u64, bytes: u64) -> usize {
        if symbols <= 2048 || bytes < 64 {
            0
        } else if symbols <= 32_768 || bytes < 2048 {
            1
        } else {
            2
        }
    }

    /// Returns the shape of this number; `None` if there is none.
    pub(crate) fn of_number(number: usize) -> Option<Self> {
        SHAPES.get(number).copied()
    }

    pub(crate) fn groups(self) -> usize {
        self.groups
    }

    /// Returns the number of symbols in a row, one per state.
    fn row(self) -> usize {
        self.groups * self.lanes
    }
}

#[cfg(test)]
mod tests;

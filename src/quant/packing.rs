//! The places of small fields within a block.

/// A bit plane: some bits of the index of every weight of a block.
///
/// The weights are cut into runs. Each byte from `offset` on holds the bits of one weight of
/// several successive runs, those of the first run lowest.
#[derive(Debug)]
pub(crate) struct Plane {
    /// Offset of the plane in the block, in bytes.
    pub(crate) offset: usize,
    /// Bits per weight.
    pub(crate) bits: u32,
    /// Number of weights in a run.
    pub(crate) run: usize,
}

impl Plane {
    /// The byte of the first weight of a run, and the lowest bit there of the part of its index.
    pub(crate) fn place(&self, run: usize) -> (usize, u32) {
        let per_byte = 8 / self.bits as usize;
        (self.offset + run / per_byte * self.run, (run % per_byte) as u32 * self.bits)
    }
}

/// The packing of a list of small numbers, one per group.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packing {
    /// A byte each.
    Bytes,
    /// The low, or the high, four bits of a byte each.
    Nibbles { high: bool },
    /// Q4_K and Q5_K: eight numbers of six bits, or those that share twelve bytes with them.
    SixBits { second: bool },
    /// Q3_K: sixteen numbers of six bits; low nibbles in eight bytes, two high bits in four.
    LowAndHigh,
    /// IQ4_XS: eight numbers of six bits; two high bits in two bytes, and low nibbles behind them.
    HighAndLow,
}

/// Some bits of a number: a byte, counted from the first one of the list, the lowest bit there, and
/// the number of bits.
pub(crate) type Bits = (usize, u32, u32);

impl Packing {
    /// The low and the high bits of number `j`; the latter may be none.
    pub(crate) fn place(self, j: usize) -> [Bits; 2] {
        const NONE: Bits = (0, 0, 0);
        match self {
            Self::Bytes => [(j, 0, 8), NONE],
            Self::Nibbles { high } => [(j, if high { 4 } else { 0 }, 4), NONE],
            Self::SixBits { second: false } if j < 4 => [(j, 0, 6), NONE],
            Self::SixBits { second: false } => [(j + 4, 0, 4), (j - 4, 6, 2)],
            Self::SixBits { second: true } if j < 4 => [(j + 4, 0, 6), NONE],
            Self::SixBits { second: true } => [(j + 4, 4, 4), (j, 6, 2)],
            Self::LowAndHigh => [(j % 8, (j / 8) as u32 * 4, 4), (8 + j % 4, (j / 4) as u32 * 2, 2)],
            Self::HighAndLow => [(2 + j / 2, (j % 2) as u32 * 4, 4), (j / 4, (j % 4) as u32 * 2, 2)],
        }
    }
}

/// The most numbers of a list.
const MOST: usize = 16;

/// The [places](Packing::place) of the numbers of a list.
pub(crate) struct Places([[Bits; 2]; MOST]);

impl Places {
    pub(crate) fn of(packing: Packing) -> Self {
        Self(std::array::from_fn(|j| packing.place(j)))
    }

    /// Reads the numbers of the list that begins at `bytes`.
    #[inline]
    pub(crate) fn get(&self, bytes: &[u8]) -> impl Iterator<Item = u8> {
        let part = |(byte, at, bits): Bits| u32::from(bytes[byte]) >> at & ((1 << bits) - 1);
        self.0.iter().map(move |&[low, high]| (part(low) | part(high) << low.2) as u8)
    }

    /// Writes numbers into the list that begins at `bytes`, whose bits there are zeros.
    #[inline]
    pub(crate) fn put(&self, bytes: &mut [u8], numbers: impl Iterator<Item = u8>) {
        for (number, &[(low, at, bits), (high, high_at, high_bits)]) in numbers.zip(&self.0) {
            let number = u32::from(number);
            bytes[low] |= ((number & ((1 << bits) - 1)) << at) as u8;
            bytes[high] |= ((number >> bits & ((1 << high_bits) - 1)) << high_at) as u8;
        }
    }
}

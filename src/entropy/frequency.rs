//! Frequency tables: counts that are scaled to a sum of [`SCALE`], and their bytes.

use super::bits::{BitReader, BitWriter};
use super::log2::{FRACTION, log2};
use crate::error::{Error, Result};
use crate::zigzag::{unzigzag, zigzag};

/// The number of bits of a probability.
pub(crate) const SCALE_BITS: u32 = 11;

/// The sum of the frequencies of a table.
pub(crate) const SCALE: u32 = 1 << SCALE_BITS;

/// The bit length that stands before that of the second frequency of a table.
const FIRST_LENGTH: i32 = 6;

/// The frequencies of all symbols, which add up to [`SCALE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrequencyTable {
    frequencies: [u16; 256],
}

impl FrequencyTable {
    /// Makes the table for these counts, of which at least one is not 0. Every symbol that occurs
    /// has a frequency of at least 1.
    pub(crate) fn from_counts(counts: &[u32]) -> Self {
        let total: u64 = counts.iter().map(|&c| u64::from(c)).sum();
        let mut frequencies = [0u16; 256];
        let mut sum = 0;
        for (frequency, &count) in frequencies.iter_mut().zip(counts) {
            if count > 0 {
                let scaled = (u64::from(count) * u64::from(SCALE) + total / 2) / total;
                *frequency = scaled.max(1) as u16;
                sum += i32::from(*frequency);
            }
        }
        let mut table = Self { frequencies };
        while sum != SCALE as i32 {
            sum += table.nudge(counts, sum < SCALE as i32);
        }
        table
    }

    /// Raises or lowers by 1 the frequency whose change costs least. Returns the change of the sum.
    fn nudge(&mut self, counts: &[u32], up: bool) -> i32 {
        let step = if up { 1 } else { -1 };
        // The coded size grows by count * (log2(frequency) - log2(frequency + step)).
        let cost = |symbol: usize| {
            let now = i64::from(self.frequencies[symbol]);
            let change = i64::from(log2(now as u32)) - i64::from(log2((now + step) as u32));
            i64::from(counts[symbol]) * change
        };
        let able = (0..counts.len()).filter(|&s| self.frequencies[s] > u16::from(!up));
        if let Some(symbol) = able.min_by_key(|&s| cost(s)) {
            self.frequencies[symbol] = (i64::from(self.frequencies[symbol]) + step) as u16;
        }
        step as i32
    }

    pub(crate) fn frequencies(&self) -> &[u16; 256] {
        &self.frequencies
    }

    /// Returns the symbol that is certain because no other one occurs.
    pub(crate) fn certain(&self) -> Option<u8> {
        self.frequencies.iter().position(|&f| u32::from(f) == SCALE).map(|symbol| symbol as u8)
    }

    /// Returns the bits of symbols with these counts when this table codes them, in the fixed point
    /// of [`log2`].
    pub(crate) fn cost(&self, counts: &[u32]) -> u64 {
        let bits = |(&count, &frequency): (&u32, &u16)| {
            u64::from(count) * u64::from((SCALE_BITS << FRACTION) - log2(u32::from(frequency)))
        };
        counts.iter().zip(&self.frequencies).filter(|(count, _)| **count > 0).map(bits).sum()
    }

    /// Returns the number of symbols up to the last one that occurs.
    pub(crate) fn symbols(&self) -> usize {
        self.frequencies.iter().rposition(|&f| f > 0).map_or(0, |last| last + 1)
    }

    /// Writes the table: the number of symbols less 1, and for each frequency but the first the
    /// difference of its bit length from the previous one (a zigzag number in gamma code) and the
    /// bits below its leading one. The first frequency is what the others lack to [`SCALE`].
    pub(crate) fn write(&self, bits: &mut BitWriter) {
        let symbols = self.symbols();
        bits.put(symbols as u32 - 1, 8);
        let mut last = FIRST_LENGTH;
        for &frequency in &self.frequencies[1..symbols] {
            let length = bit_length(u32::from(frequency));
            bits.put_gamma(zigzag((length as i32 - last) as u32));
            if length > 1 {
                bits.put(u32::from(frequency) & ((1 << (length - 1)) - 1), length - 1);
            }
            last = length as i32;
        }
    }

    /// Reads a table that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// `Corrupt` if the frequencies add up to more than [`SCALE`], or if there are more than `most`
    /// symbols.
    pub(crate) fn read(bits: &mut BitReader<'_>, most: usize) -> Result<Self> {
        let symbols = bits.get(8) as usize + 1;
        if symbols > most {
            let expected = format_args!("{most} at most");
            return Err(Error::corrupt("a frequency table has too many symbols").figures(expected, symbols));
        }
        let mut frequencies = [0u16; 256];
        let (mut last, mut sum) = (FIRST_LENGTH, 0u32);
        for frequency in &mut frequencies[1..symbols] {
            last += unzigzag(bits.get_gamma()?) as i32;
            let length = u32::try_from(last).ok().filter(|&n| n <= SCALE_BITS + 1);
            let length = length.ok_or_else(|| {
                Error::corrupt("the bit length of a frequency is out of range").figures("0 to 12", last)
            })?;
            if length > 0 {
                let value = 1 << (length - 1) | bits.get(length - 1) as u32;
                *frequency = value as u16;
                sum += value;
            }
        }
        let Some(first) = SCALE.checked_sub(sum).filter(|_| symbols == 1 || frequencies[symbols - 1] > 0) else {
            return Err(Error::corrupt("a frequency table does not add up").figures(SCALE, sum));
        };
        frequencies[0] = first as u16;
        Ok(Self { frequencies })
    }
}

/// Returns the estimated bits of the table for these counts, in the fixed point of [`log2`].
pub(crate) fn table_cost(counts: &[u32]) -> u64 {
    let symbols = counts.iter().rposition(|&c| c > 0).map_or(0, |last| last + 1) as u64;
    let used = counts.iter().filter(|&&c| c > 0).count() as u64;
    (10 + symbols * 2 + used.saturating_sub(1) * 9 / 2) << FRACTION
}

/// Returns the number of bits up to the leading one; 0 for 0.
fn bit_length(value: u32) -> u32 {
    32 - value.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Vec<Vec<u32>> {
        let decaying = (0..80).map(|i| 1_000_000 >> (i / 3)).collect();
        let flat = vec![1; 256];
        let sparse = [vec![0; 100], vec![5], vec![0; 20], vec![1_000_000_000]].concat();
        vec![decaying, flat, sparse, vec![3], vec![u32::MAX, 1, 1, 1]]
    }

    #[test]
    fn tables_add_up_and_round_trip() {
        for counts in counts() {
            let table = FrequencyTable::from_counts(&counts);
            let sum: u32 = table.frequencies.iter().map(|&f| u32::from(f)).sum();
            assert_eq!(sum, SCALE);
            assert!(counts.iter().zip(&table.frequencies).all(|(&c, &f)| (c > 0) == (f > 0)));
            let mut bits = BitWriter::default();
            table.write(&mut bits);
            let bytes = bits.finish();
            let mut reader = BitReader::new(&bytes);
            assert_eq!(FrequencyTable::read(&mut reader, 256).unwrap(), table);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn tables_with_a_wrong_sum_are_refused() {
        let mut bits = BitWriter::default();
        FrequencyTable::from_counts(&[3, 1, 4]).write(&mut bits);
        let bytes = bits.finish();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(table) = FrequencyTable::read(&mut BitReader::new(&flipped), 256) {
                assert_eq!(table.frequencies.iter().map(|&f| u32::from(f)).sum::<u32>(), SCALE);
            }
        }
        FrequencyTable::read(&mut BitReader::new(&[1]), 256).unwrap_err();
    }
}

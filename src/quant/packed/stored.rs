//! Stored numbers: the lowest bits of a byte come first, and numbers may go on in the next byte.

use super::{Code, Packing};

impl Packing {
    /// Whole numbers in some bytes.
    pub(crate) fn count(&self, bytes: u64) -> u64 {
        let bits = u64::from(self.bits);
        (bytes / bits).saturating_mul(8).saturating_add(bytes % bits * 8 / bits)
    }

    /// The bytes of some numbers, of which the last one may be filled in part.
    pub(crate) fn bytes(&self, numbers: u64) -> u64 {
        let bits = u64::from(self.bits);
        (numbers / 8).saturating_mul(bits).saturating_add((numbers % 8 * bits).div_ceil(8))
    }

    /// The fewest bytes that begin and end with whole numbers.
    pub(crate) fn whole_bytes(&self) -> u64 {
        if 8 % self.bits == 0 { 1 } else { self.bits.into() }
    }

    /// The stored number at a place, or 0 behind the last byte.
    #[inline(always)]
    pub(crate) fn number_at(&self, bytes: &[u8], place: usize) -> u8 {
        let byte = |place: usize| u32::from(bytes.get(place).copied().unwrap_or(0));
        match self.bits {
            8 => byte(place) as u8,
            4 => (byte(place / 2) >> (place % 2 * 4)) as u8 & 15,
            bits => {
                let first = place.saturating_mul(bits as usize);
                ((byte(first / 8) | byte(first / 8 + 1) << 8) >> (first % 8)) as u8 & self.mask()
            }
        }
    }

    /// Reads stored numbers, 0 behind the last byte.
    pub(super) fn unpack(&self, bytes: &[u8], numbers: &mut [u8]) {
        match self.bits {
            8 if bytes.len() >= numbers.len() => numbers.copy_from_slice(&bytes[..numbers.len()]),
            4 if 2 * bytes.len() >= numbers.len() => {
                let (pairs, last) = numbers.as_chunks_mut();
                for ([low, high], byte) in pairs.iter_mut().zip(bytes) {
                    (*low, *high) = (byte & 15, byte >> 4);
                }
                last.iter_mut().for_each(|low| *low = bytes[pairs.len()] & 15);
            }
            _ => numbers.iter_mut().enumerate().for_each(|(place, number)| *number = self.number_at(bytes, place)),
        }
    }

    /// The stored numbers of bytes.
    pub(crate) fn numbers(&self, bytes: &[u8]) -> Vec<u8> {
        let mut numbers = vec![0; self.count(bytes.len() as u64) as usize];
        self.unpack(bytes, &mut numbers);
        numbers
    }

    /// Stores the numbers of indices in bytes, as many as they fill.
    pub(crate) fn store(&self, indices: &mut [u8], bytes: &mut [u8]) {
        match self.code {
            Code::Plain => indices.iter_mut().for_each(|index| *index &= self.mask()),
            _ => indices.iter_mut().for_each(|index| *index = self.number(*index & self.mask())),
        }
        self.pack(indices, bytes);
    }

    fn pack(&self, numbers: &[u8], bytes: &mut [u8]) {
        match self.bits {
            8 => bytes.copy_from_slice(&numbers[..bytes.len()]),
            4 => {
                let pairs = bytes.iter_mut().zip(numbers.as_chunks().0);
                pairs.for_each(|(byte, &[low, high])| *byte = low | high << 4);
            }
            bits => {
                let runs = bytes.chunks_mut(bits as usize).zip(numbers.chunks(8));
                for (bytes, numbers) in runs {
                    let place = numbers.iter().zip(0u32..);
                    let run = place.fold(0u64, |run, (number, i)| run | u64::from(*number) << (i * bits));
                    bytes.copy_from_slice(&run.to_le_bytes()[..bytes.len()]);
                }
            }
        }
    }
}

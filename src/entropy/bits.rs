//! Packing of bit fields, the least significant bit first.

use crate::error::{Error, Result};

/// A writer that appends bit fields to bytes.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    filled: u32,
}

impl BitWriter {
    /// Appends the low `width` bits of `value`. `width` is at most 32, and the bits above must be
    /// 0.
    #[inline]
    pub(crate) fn put(&mut self, value: u32, width: u32) {
        debug_assert!(width <= 32 && u64::from(value) < 1 << width);
        self.pending |= u64::from(value) << self.filled;
        self.filled += width;
        if self.filled >= 32 {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.filled -= 32;
        }
    }

    /// Does the same as [`put`](Self::put) for each of `values`, with the state in registers.
    pub(crate) fn put_all(&mut self, values: &[u32], width: u32) {
        self.bytes.reserve(values.len() * width as usize / 8 + 4);
        let (mut pending, mut filled) = (self.pending, self.filled);
        for &value in values {
            debug_assert!(width <= 32 && u64::from(value) < 1 << width);
            pending |= u64::from(value) << filled;
            filled += width;
            if filled >= 32 {
                self.bytes.extend_from_slice(&(pending as u32).to_le_bytes());
                pending >>= 32;
                filled -= 32;
            }
        }
        (self.pending, self.filled) = (pending, filled);
    }

    /// Does the same as [`put`](Self::put), for widths up to 64.
    #[inline]
    pub(crate) fn put_wide(&mut self, value: u64, width: u32) {
        if width <= 32 {
            return self.put(value as u32, width);
        }
        self.put(value as u32, 32);
        self.put((value >> 32) as u32, width - 32);
    }

    /// Appends the Elias gamma code of `value` + 1.
    pub(crate) fn put_gamma(&mut self, value: u32) {
        let width = (value + 1).ilog2();
        self.put(0, width);
        self.put(1, 1);
        self.put((value + 1) & ((1 << width) - 1), width);
    }

    /// Returns the number of bits so far.
    pub(crate) fn length(&self) -> u64 {
        self.bytes.len() as u64 * 8 + u64::from(self.filled)
    }

    /// Returns the bytes; the last one is padded with zero bits.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let rest = self.filled.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..rest]);
        self.bytes
    }
}

/// A reader of bit fields. Past the end it reads zeros, which [`finish`](Self::finish) reports.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Returns 64 bits, from the start of the byte that holds the bit at `position`.
    #[inline]
    fn load(&self) -> u64 {
        let start = self.position >> 3;
        match self.bytes.get(start..start + 8).and_then(|b| b.first_chunk()) {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => self.load_tail(start),
        }
    }

    #[cold]
    fn load_tail(&self, start: usize) -> u64 {
        let mut chunk = [0; 8];
        let rest = self.bytes.get(start..).unwrap_or(&[]);
        chunk[..rest.len()].copy_from_slice(rest);
        u64::from_le_bytes(chunk)
    }

    /// Reads the next `width` bits, at most 56.
    #[inline]
    pub(crate) fn get(&mut self, width: u32) -> u64 {
        debug_assert!(width <= 56);
        let value = self.load() >> (self.position & 7) & ((1 << width) - 1);
        self.position += width as usize;
        value
    }

    /// Does the same as [`get`](Self::get), for fields of which many have no bits: for those it
    /// reads nothing, since every read past the last eight bytes is slow.
    #[inline]
    pub(crate) fn get_any(&mut self, width: u32) -> u64 {
        if width == 0 { 0 } else { self.get(width) }
    }

    /// Does the same as [`get`](Self::get), for widths up to 64.
    #[inline]
    pub(crate) fn get_wide(&mut self, width: u32) -> u64 {
        if width <= 32 {
            return self.get(width);
        }
        let low = self.get(32);
        low | self.get(width - 32) << 32
    }

    /// Reads as many fields of `width` bits as there are `fields`. `width` is at most 32.
    pub(crate) fn get_all(&mut self, width: u32, fields: &mut [u32]) {
        match width {
            0..=7 => self.get_groups::<8>(width, fields),
            8..=14 => self.get_groups::<4>(width, fields),
            _ => self.get_groups::<1>(width, fields),
        }
    }

    /// Reads fields of `width` bits, as many with one load as `N`, which have 56 bits at most.
    fn get_groups<const N: usize>(&mut self, width: u32, fields: &mut [u32]) {
        let mask = (1 << width) - 1;
        let (groups, rest) = fields.as_chunks_mut::<N>();
        for group in groups {
            let mut bits = self.get(N as u32 * width);
            for field in group {
                *field = (bits & mask) as u32;
                bits >>= width;
            }
        }
        rest.iter_mut().for_each(|field| *field = self.get(width) as u32);
    }

    /// Reads a number that [`BitWriter::put_gamma`] appended.
    ///
    /// # Errors
    /// `Corrupt` for a code that is longer than that of any 31-bit number.
    pub(crate) fn get_gamma(&mut self) -> Result<u32> {
        let width = self.get(32).trailing_zeros();
        if width > 30 {
            return Err(Error::corrupt("a number in the frequency tables is too large"));
        }
        self.position -= 31 - width as usize;
        Ok(((1 << width) | self.get(width) as u32) - 1)
    }

    /// Checks that exactly all bytes were read and that the padding is zeros.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are left or missing, and for other padding.
    pub(crate) fn finish(self) -> Result<()> {
        let end = self.bytes.len() * 8;
        let padding = end.wrapping_sub(self.position);
        if self.position <= end && padding < 8 && self.load() >> (self.position & 7) == 0 {
            return Ok(());
        }
        let expected = format!("{end} bits");
        Err(Error::corrupt("a bit string does not end where it should").figures(expected, self.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_round_trip() {
        let fields: Vec<(u64, u32)> =
            (0..500u32).map(|i| (u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15), i % 65)).collect();
        let mask = |value: u64, width: u32| if width == 64 { value } else { value & ((1 << width) - 1) };
        let mut writer = BitWriter::default();
        for &(value, width) in &fields {
            writer.put_wide(mask(value, width), width);
            writer.put_gamma(width);
        }
        let length = writer.length();
        let bytes = writer.finish();
        assert_eq!(length.div_ceil(8), bytes.len() as u64);
        let mut reader = BitReader::new(&bytes);
        for &(value, width) in &fields {
            assert_eq!(reader.get_wide(width), mask(value, width));
            assert_eq!(reader.get_gamma().unwrap(), width);
        }
        reader.finish().unwrap();
    }

    /// Fields are read and written together as they are one by one, at every width, after any number
    /// of bits, and past the end.
    #[test]
    fn fields_of_one_width_together() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for (width, skipped) in (0..=32).flat_map(|width| [0, 5, 8, 1400].map(|skipped| (width, skipped))) {
            let [mut together, mut single] = [(); 2].map(|()| BitReader { bytes: &bytes, position: skipped });
            let mut fields = [7; 40];
            together.get_all(width, &mut fields);
            assert!(fields.iter().all(|&field| u64::from(field) == single.get(width)), "{width} {skipped}");
            assert_eq!(together.position, single.position);
            let [mut together, mut single] = [(); 2].map(|()| BitWriter::default());
            [&mut together, &mut single].into_iter().for_each(|writer| writer.put(0, skipped as u32 % 8));
            together.put_all(&fields, width);
            fields.iter().for_each(|&field| single.put(field, width));
            assert_eq!(together.finish(), single.finish());
        }
    }

    #[test]
    fn too_few_and_too_many_bits_are_noticed() {
        for (bytes, width) in [(&[0u8; 2][..], 17), (&[0; 3], 16), (&[0, 0x80], 15)] {
            let mut reader = BitReader::new(bytes);
            reader.get(width);
            reader.finish().unwrap_err();
        }
        BitReader::new(&[0; 40]).get_gamma().unwrap_err();
    }
}

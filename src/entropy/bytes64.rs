//! Comparison of 64 bytes at a time, as a mask, and lists of the places of bytes.
#![allow(unsafe_code)]

use super::rans::STRIP;

/// Returns a mask whose bit `i` is set if byte `i` is at least `LEAST`, which is at most 128.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn at_least<const LEAST: u8>(bytes: &[u8; 64]) -> u64 {
    use std::arch::x86_64::*;
    let mut mask = 0;
    for (i, bytes) in bytes.as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: every x86_64 processor has SSE2, and the load is of 16 bytes. The sum saturates:
        // a byte that is large enough gets the highest bit.
        let large = unsafe {
            let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
            _mm_movemask_epi8(_mm_adds_epu8(bytes, _mm_set1_epi8((128 - LEAST) as i8)))
        };
        mask |= u64::from(large as u16) << (16 * i);
    }
    mask
}

/// Returns a mask whose bit `i` is set if byte `i` is at least `LEAST`, which is at most 128.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
pub(crate) fn at_least<const LEAST: u8>(bytes: &[u8; 64]) -> u64 {
    use std::arch::wasm32::*;
    let mut mask = 0;
    for (i, bytes) in bytes.as_chunks::<16>().0.iter().enumerate() {
        let large = i8x16_bitmask(u8x16_add_sat(crate::simd128::load(bytes), u8x16_splat(128 - LEAST)));
        mask |= u64::from(large) << (16 * i);
    }
    mask
}

/// Returns a mask whose bit `i` is set if byte `i` is at least `LEAST`, which is at most 128.
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
#[inline(always)]
pub(crate) fn at_least<const LEAST: u8>(bytes: &[u8; 64]) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let mut mask = 0;
    for (i, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
        let x = u64::from_le_bytes(*eight);
        // The sum has the highest bit of each byte set if the lower bits are large enough, and the
        // product gathers these bits in the top byte.
        let sum = (x & LOW) + u64::from_le_bytes([128 - LEAST; 8]);
        let large = (sum | x) & !LOW;
        mask |= ((large >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    mask
}

/// Places that are written at a time.
const TOGETHER: usize = 4;

/// The places of some bytes in a strip, in order.
#[derive(Debug)]
pub(crate) struct Places {
    places: [u16; STRIP + TOGETHER],
    count: usize,
}

impl Default for Places {
    fn default() -> Self {
        Self { places: [0; STRIP + TOGETHER], count: 0 }
    }
}

impl Places {
    /// Lists the places in a strip of the bytes that `select` finds, which returns a mask of 64
    /// bytes.
    #[inline(always)]
    pub(crate) fn find(&mut self, bytes: &[u8], select: impl Fn(&[u8; 64]) -> u64) {
        self.count = 0;
        let (blocks, rest) = bytes.as_chunks::<64>();
        for (block, bytes) in blocks.iter().enumerate() {
            self.push(64 * block as u32, select(bytes));
        }
        let mut last = [0; 64];
        last[..rest.len()].copy_from_slice(rest);
        self.push(64 * blocks.len() as u32, select(&last) & ((1 << rest.len()) - 1));
    }

    /// Appends a place for each bit of `mask`. It writes a few at a time, some of them for nothing,
    /// so that hardly a branch depends on the mask.
    #[inline(always)]
    fn push(&mut self, start: u32, mut mask: u64) {
        let end = self.count + mask.count_ones() as usize;
        for first in (self.count..end).step_by(TOGETHER) {
            for place in &mut self.places[first..first + TOGETHER] {
                *place = (start + (mask.trailing_zeros() & 63)) as u16;
                mask &= mask.wrapping_sub(1);
            }
        }
        self.count = end;
    }

    /// Returns the places that were found last.
    pub(crate) fn get(&self) -> &[u16] {
        &self.places[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_listed_in_order() {
        let mut places = Places::default();
        for length in [0, 1, 63, 64, 65, 1000, STRIP] {
            let bytes: Vec<u8> = (0..length as u32).map(|i| (i * i >> 3) as u8).collect();
            places.find(&bytes, at_least::<32>);
            let want: Vec<u16> = (0..length as u16).filter(|&i| bytes[usize::from(i)] >= 32).collect();
            assert_eq!(places.get(), want);
        }
        places.find(&[200; STRIP], at_least::<128>);
        assert_eq!(places.get().len(), STRIP);
    }

    #[test]
    fn every_byte_is_compared_in_every_place() {
        for first in 0..=255u8 {
            let bytes: [u8; 64] = std::array::from_fn(|i| first.wrapping_mul(i as u8 | 1));
            let want = |least| (0..64).filter(|&i| bytes[i] >= least).fold(0, |mask, i| mask | 1 << i);
            assert_eq!([at_least::<32>(&bytes), at_least::<128>(&bytes)], [want(32), want(128)]);
        }
    }
}

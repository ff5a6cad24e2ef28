//! Selections of bytes for processors with AVX-512, whose instructions pack 64 bytes at a time, and
//! spread them again.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::entropy::rans::STRIP;

/// Bytes of a vector.
const BYTES: usize = 64;

/// A proof that the processor has the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packer(());

impl Packer {
    /// Returns `None` if the processor lacks the instructions.
    #[inline]
    pub(super) fn find() -> Option<Self> {
        (is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vbmi2")).then_some(Self(()))
    }

    /// Writes those of `bytes` to `packed` whose mark is below 128, one after the other, and
    /// returns their number. There are as many marks as bytes, at most [`STRIP`].
    pub(super) fn pack(self, marks: &[u8], bytes: &[u8], packed: &mut [u8; STRIP]) -> usize {
        // SAFETY: a packer proves that the processor has the instructions.
        unsafe { pack(marks, bytes, packed) }
    }

    /// Replaces those of `bytes` whose mark is below 128 by the first ones of `packed`, in order.
    /// There are as many marks as bytes, at most [`STRIP`].
    pub(super) fn spread(self, marks: &[u8], packed: &[u8; STRIP], bytes: &mut [u8]) {
        // SAFETY: a packer proves that the processor has the instructions.
        unsafe { spread(marks, packed, bytes) }
    }
}

/// Returns a mask of the first bytes of a vector: of as many as `rest` has, or of all.
#[inline]
fn first(rest: usize) -> u64 {
    if rest < BYTES { (1 << rest) - 1 } else { u64::MAX }
}

#[target_feature(enable = "avx512bw,avx512vbmi2")]
fn pack(marks: &[u8], bytes: &[u8], packed: &mut [u8; STRIP]) -> usize {
    assert!(marks.len() == bytes.len() && bytes.len() <= STRIP);
    let mut count = 0;
    for start in (0..bytes.len()).step_by(BYTES) {
        let inside = first(bytes.len() - start);
        // SAFETY: the loads read only bytes inside of the slices. The packed bytes are at most as
        // many as `start`, a multiple of a vector, so that another vector ends within the strip.
        unsafe {
            let marks = _mm512_maskz_loadu_epi8(inside, marks.as_ptr().add(start).cast());
            let bytes = _mm512_maskz_loadu_epi8(inside, bytes.as_ptr().add(start).cast());
            let selected = inside & !_mm512_movepi8_mask(marks);
            _mm512_storeu_si512(packed.as_mut_ptr().add(count).cast(), _mm512_maskz_compress_epi8(selected, bytes));
            count += selected.count_ones() as usize;
        }
    }
    count
}

#[target_feature(enable = "avx512bw,avx512vbmi2")]
fn spread(marks: &[u8], packed: &[u8; STRIP], bytes: &mut [u8]) {
    assert!(marks.len() == bytes.len() && bytes.len() <= STRIP);
    let mut count = 0;
    for start in (0..bytes.len()).step_by(BYTES) {
        let inside = first(bytes.len() - start);
        // SAFETY: the loads and the store are of bytes inside of the slices. At most as many packed
        // bytes were taken as `start`, a multiple of a vector, so that another vector ends within
        // the strip.
        unsafe {
            let place = bytes.as_mut_ptr().add(start).cast();
            let marks = _mm512_maskz_loadu_epi8(inside, marks.as_ptr().add(start).cast());
            let selected = inside & !_mm512_movepi8_mask(marks);
            let packed = _mm512_loadu_si512(packed.as_ptr().add(count).cast());
            let spread = _mm512_mask_expand_epi8(_mm512_maskz_loadu_epi8(inside, place), selected, packed);
            _mm512_mask_storeu_epi8(place, inside, spread);
            count += selected.count_ones() as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths have whole vectors, none, and some bytes that are left. A byte behind the end
    /// stays.
    #[test]
    fn selected_bytes_are_packed_and_spread() {
        let Some(packer) = Packer::find() else { return };
        for length in [0, 1, 63, 64, 65, 1000, STRIP] {
            for share in [0, 1, 128, 255] {
                let marks: Vec<u8> =
                    (0..length).map(|i| if (i * i * 31 >> 3) % 256 < share { 200 } else { 127 }).collect();
                let bytes: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
                let is_selected = |i: &usize| marks[*i] < 128;
                let want: Vec<u8> = (0..length).filter(is_selected).map(|i| bytes[i]).collect();
                let mut packed = [99; STRIP];
                assert_eq!(packer.pack(&marks, &bytes, &mut packed), want.len());
                assert_eq!(packed[..want.len()], want);
                let mut to = vec![5; length + 1];
                packer.spread(&marks, &packed, &mut to[..length]);
                let want = (0..length).map(|i| if is_selected(&i) { bytes[i] } else { 5 });
                assert!(to.iter().copied().eq(want.chain([5])), "{length}, {share}");
            }
        }
    }
}

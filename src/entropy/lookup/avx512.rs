//! The kernel of [`Lookup::map`](super::Lookup::map) for AVX-512: a single instruction looks up 64
//! bytes in a table of 128.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Lookup;

/// Bytes of a vector.
const BYTES: usize = 64;

/// Maps whole vectors and returns the bytes that are left: all of them on a processor without the
/// instruction.
pub(super) fn map<'a>(lookup: &Lookup, bytes: &'a mut [u8]) -> &'a mut [u8] {
    if !is_x86_feature_detected!("avx512vbmi") {
        return bytes;
    }
    let (blocks, rest) = bytes.as_chunks_mut();
    // SAFETY: the check above found AVX-512 VBMI.
    unsafe { map_blocks(lookup, blocks) };
    rest
}

#[target_feature(enable = "avx512f,avx512vbmi")]
fn map_blocks(lookup: &Lookup, blocks: &mut [[u8; BYTES]]) {
    // SAFETY: the table is two vectors.
    let [low, high] = [0, BYTES].map(|place| unsafe { _mm512_loadu_si512(lookup.table.as_ptr().add(place).cast()) });
    for block in blocks {
        // SAFETY: a block is a vector.
        unsafe {
            let places = _mm512_loadu_si512(block.as_ptr().cast());
            _mm512_storeu_si512(block.as_mut_ptr().cast(), _mm512_permutex2var_epi8(low, places, high));
        }
    }
}

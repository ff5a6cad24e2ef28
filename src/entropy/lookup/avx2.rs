//! The kernel of [`Lookup::map`](super::Lookup::map) for AVX2, which maps 32 bytes at a time.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Lookup;
use super::groups::GROUP;

/// Bytes of a vector.
const BYTES: usize = 32;

/// Maps whole vectors and returns the bytes that are left: all of them on a processor without AVX2.
pub(super) fn map<'a>(lookup: &Lookup, bytes: &'a mut [u8]) -> &'a mut [u8] {
    if !is_x86_feature_detected!("avx2") {
        return bytes;
    }
    let (blocks, rest) = bytes.as_chunks_mut();
    // SAFETY: the check above found AVX2.
    unsafe { map_blocks(lookup, blocks) };
    rest
}

#[target_feature(enable = "avx2")]
fn map_blocks(lookup: &Lookup, blocks: &mut [[u8; BYTES]]) {
    let groups = lookup.groups();
    let mut tables = [_mm256_setzero_si256(); 128 / GROUP];
    for (table, group) in tables.iter_mut().zip(groups) {
        // SAFETY: a group is 16 bytes.
        *table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(group.as_ptr().cast()) });
    }
    let last = _mm256_set1_epi8(lookup.last as i8);
    for block in blocks {
        // SAFETY: a block is 32 bytes.
        let mut place = _mm256_min_epu8(unsafe { _mm256_loadu_si256(block.as_ptr().cast()) }, last);
        let mut mapped = _mm256_setzero_si256();
        for table in &tables[..groups.len()] {
            // The addition sets the highest bit of places outside of this group, and the shuffle
            // turns those into zeros.
            let inside = _mm256_adds_epu8(place, _mm256_set1_epi8(0x70));
            mapped = _mm256_or_si256(mapped, _mm256_shuffle_epi8(*table, inside));
            place = _mm256_sub_epi8(place, _mm256_set1_epi8(GROUP as i8));
        }
        // SAFETY: a block is 32 bytes.
        unsafe { _mm256_storeu_si256(block.as_mut_ptr().cast(), mapped) };
    }
}

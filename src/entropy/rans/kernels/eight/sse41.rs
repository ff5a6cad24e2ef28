//! The operations of the kernel in SSE4.1.

use std::arch::x86_64::*;
pub(super) use std::arch::x86_64::{
    _mm_add_epi32 as add, _mm_and_si128 as and, _mm_cvtepu16_epi32 as widen_low, _mm_max_epi32 as maximum,
    _mm_mullo_epi32 as multiply, _mm_or_si128 as or, _mm_shuffle_epi8 as swizzle,
    _mm_unpackhi_epi16 as interleave_high, _mm_unpacklo_epi16 as interleave_low,
};

/// A vector of 16 bytes.
pub(super) type Vector = __m128i;

/// Returns true if the processor has SSE4.1 and POPCNT.
pub(in super::super) fn is_available() -> bool {
    is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("popcnt")
}

#[target_feature(enable = "sse4.1")]
pub(super) fn splat32(number: u32) -> Vector {
    _mm_set1_epi32(number as i32)
}

#[target_feature(enable = "sse4.1")]
pub(super) fn splat16(number: u16) -> Vector {
    _mm_set1_epi16(number as i16)
}

/// Returns zeros, which only the gather of WebAssembly uses.
#[target_feature(enable = "sse4.1")]
pub(super) fn opaque_zero() -> Vector {
    _mm_setzero_si128()
}

/// Loads 16 bytes.
///
/// # Safety
/// They must be readable at `from`.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: the caller vouches for 16 bytes.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// Loads eight bytes as 16-bit numbers.
///
/// # Safety
/// They must be readable at `from`.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) unsafe fn load_widened(from: *const u8) -> Vector {
    // SAFETY: the caller vouches for eight bytes.
    _mm_cvtepu8_epi16(unsafe { _mm_loadl_epi64(from.cast()) })
}

#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn load32(from: &[u32; 4]) -> Vector {
    // SAFETY: four numbers are 16 bytes.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn store32(vector: Vector, to: &mut [u32; 4]) {
    // SAFETY: four numbers are 16 bytes.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), vector) }
}

/// Returns four entries of `table`.
///
/// # Safety
/// The indices in `slots` must be within `table`.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) unsafe fn gather(table: *const u32, slots: Vector, _opaque: Vector) -> Vector {
    let (low, high) = (_mm_cvtsi128_si64(slots) as u64, _mm_extract_epi64::<1>(slots) as u64);
    // SAFETY: the caller vouches for the indices.
    let entry = |index: u64| unsafe { *table.add(index as u32 as usize) } as i32;
    let entries = _mm_insert_epi32::<1>(_mm_cvtsi32_si128(entry(low)), entry(low >> 32));
    _mm_insert_epi32::<3>(_mm_insert_epi32::<2>(entries, entry(high)), entry(high >> 32))
}

#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn widen_high(vector: Vector) -> Vector {
    _mm_unpackhi_epi16(vector, _mm_setzero_si128())
}

#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn shift_left<const BITS: u32>(vector: Vector) -> Vector {
    _mm_sll_epi32(vector, _mm_cvtsi32_si128(BITS as i32))
}

#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn shift_right<const BITS: u32>(vector: Vector) -> Vector {
    _mm_srl_epi32(vector, _mm_cvtsi32_si128(BITS as i32))
}

/// Returns eight 32-bit numbers below 2^31 in 16 bits each, larger ones as 2^16 - 1.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn narrow(first: Vector, second: Vector) -> Vector {
    _mm_packus_epi32(first, second)
}

/// Returns the signs of eight 16-bit numbers, a bit each.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) fn signs(vector: Vector) -> usize {
    _mm_movemask_epi8(_mm_packs_epi16(vector, _mm_setzero_si128())) as usize
}

/// Stores the low bytes of eight 32-bit numbers.
///
/// # Safety
/// Eight bytes must be writable at `to`.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(super) unsafe fn store_low_bytes(first: Vector, second: Vector, to: *mut u8) {
    let low = _mm_set1_epi32(0xff);
    let words = _mm_packus_epi32(_mm_and_si128(first, low), _mm_and_si128(second, low));
    // SAFETY: the caller vouches for eight bytes.
    unsafe { _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words)) }
}

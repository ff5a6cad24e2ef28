//! The contexts of a stretch, 32 at a time, for AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{CONTEXTS, Rule};

/// Contexts that are computed at a time.
const BLOCK: usize = 32;

/// Writes the contexts and returns true. Returns false and does nothing if the processor lacks
/// AVX2.
pub(super) fn contexts(rule: Rule, exponents: &[u16], columns: &[u8], contexts: &mut [u8]) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { contexts_with_avx2(rule, exponents, columns, contexts) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn contexts_with_avx2(rule: Rule, exponents: &[u16], columns: &[u8], contexts: &mut [u8]) {
    let whole = contexts.len().min(exponents.len()).min(columns.len()) / BLOCK * BLOCK;
    let (here, step) = (_mm256_set1_epi16(rule.here), _mm256_set1_epi16(rule.step));
    let shift = _mm_cvtsi32_si128(rule.shift as i32);
    let raw = |exponents: &[u16], columns: &[u8]| {
        let (exponents, columns) = (&exponents[..16], &columns[..16]);
        // SAFETY: 16 exponents are 32 bytes, and 16 columns are 16.
        let (exponents, columns) =
            unsafe { (_mm256_loadu_si256(exponents.as_ptr().cast()), _mm_loadu_si128(columns.as_ptr().cast())) };
        let exponents = _mm256_and_si256(exponents, _mm256_set1_epi16(0xff));
        let sum = _mm256_add_epi16(here, _mm256_mullo_epi16(exponents, step));
        _mm256_sra_epi16(_mm256_sub_epi16(sum, _mm256_cvtepu8_epi16(columns)), shift)
    };
    for (i, contexts) in contexts[..whole].as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let (low, high) = (i * BLOCK, i * BLOCK + BLOCK / 2);
        let (low, high) = (raw(&exponents[low..], &columns[low..]), raw(&exponents[high..], &columns[high..]));
        let packed = _mm256_permute4x64_epi64::<0xd8>(_mm256_packus_epi16(low, high));
        let packed = _mm256_min_epu8(packed, _mm256_set1_epi8(CONTEXTS as i8 - 1));
        // SAFETY: a block is 32 bytes.
        unsafe { _mm256_storeu_si256(contexts.as_mut_ptr().cast(), packed) };
    }
    rule.contexts_portably(&exponents[whole..], &columns[whole..], &mut contexts[whole..]);
}

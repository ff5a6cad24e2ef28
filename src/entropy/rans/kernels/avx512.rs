//! The kernel for processors with AVX-512. The eight lanes of a group are half a vector, since two
//! groups in one vector take longer: each has its own stream of words.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{BEYOND, Rows};
use crate::entropy::frequency::{SCALE, SCALE_BITS};
use crate::entropy::rans::decoder::SLOTS;
use crate::entropy::rans::{GROUPS, LANES, LOW};

/// `a | b & c` for [`_mm256_ternarylogic_epi32`].
const OR_AND: i32 = 0xf8;

/// Returns true if the processor has AVX-512 with vectors of all lengths, and POPCNT.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("popcnt")
}

/// The [`Kernel`](super::Kernel), which needs AVX-512 with vectors of all lengths, and POPCNT.
#[target_feature(enable = "avx2,avx512f,avx512vl,popcnt")]
pub(super) fn decode(
    Rows { slots, zeros, words, contexts, symbols }: Rows<'_>,
    states: &mut [[u32; LANES]; GROUPS],
) -> [usize; GROUPS] {
    assert!(words.iter().all(|words| words.len() >= contexts.len() * LANES + BEYOND));
    let slot_mask = _mm256_set1_epi32(SCALE as i32 - 1);
    let frequency_mask = _mm256_set1_epi32(0xfff);
    let low = _mm256_set1_epi32(LOW as i32);
    // SAFETY: a group's states are 32 bytes.
    let mut x = states.map(|states| unsafe { _mm256_loadu_si256(states.as_ptr().cast()) });
    // SAFETY: there are eight frequencies.
    let zeros = zeros.map(|zeros: [u32; LANES]| unsafe { _mm256_loadu_si256(zeros.as_ptr().cast()) });
    let words = words.map(|words| words.as_ptr());
    let mut taken = [0; GROUPS];
    for (contexts, symbols) in contexts.iter().zip(symbols) {
        for g in 0..GROUPS {
            let at = g * LANES;
            // SAFETY: a group has eight contexts in a row.
            let context = unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(contexts.as_ptr().add(at).cast())) };
            let quotient = _mm256_srli_epi32::<{ SCALE_BITS as i32 }>(x[g]);
            if let Some(zeros) = zeros {
                let frequency = _mm256_permutevar8x32_epi32(zeros, context);
                let own_slot = _mm256_and_si256(x[g], slot_mask);
                let next = _mm256_add_epi32(_mm256_mullo_epi32(frequency, quotient), own_slot);
                let is_zero = _mm256_cmpgt_epi32_mask(frequency, own_slot);
                if is_zero & _mm256_cmpge_epi32_mask(next, low) == u8::MAX {
                    x[g] = next;
                    symbols[at..at + LANES].fill(0);
                    continue;
                }
            }
            let table = _mm256_slli_epi32::<{ SCALE_BITS as i32 }>(context);
            let entry = look_up(slots, _mm256_ternarylogic_epi32::<OR_AND>(table, x[g], slot_mask));
            let frequency = _mm256_and_si256(_mm256_srli_epi32::<8>(entry), frequency_mask);
            let next = _mm256_add_epi32(_mm256_mullo_epi32(frequency, quotient), _mm256_srli_epi32::<20>(entry));
            let short = _mm256_cmplt_epi32_mask(next, low);
            // SAFETY: a row takes at most LANES words of a group, so that the assertion leaves
            // BEYOND of them before every row.
            let ahead = unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(words[g].add(taken[g]).cast())) };
            let word = _mm256_maskz_expand_epi32(short, ahead);
            x[g] = _mm256_or_si256(_mm256_mask_slli_epi32::<16>(next, short, next), word);
            taken[g] += short.count_ones() as usize;
            // SAFETY: a group has eight symbols in a row.
            unsafe { _mm_storel_epi64(symbols.as_mut_ptr().add(at).cast(), _mm256_cvtepi32_epi8(entry)) };
        }
    }
    for (x, states) in x.iter().zip(states) {
        // SAFETY: a group's states are 32 bytes.
        unsafe { _mm256_storeu_si256(states.as_mut_ptr().cast(), *x) };
    }
    taken
}

/// Returns the entries of eight slots, the numbers of which are taken modulo [`SLOTS`]. Eight loads
/// take less time than a gather, which Zen 4 splits into forty operations.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(slots: &[u32; SLOTS], places: __m256i) -> __m256i {
    let places = _mm256_and_si256(places, _mm256_set1_epi32(SLOTS as i32 - 1));
    let (low, high) = (_mm256_castsi256_si128(places), _mm256_extracti128_si256::<1>(places));
    let [a, b] = [low, high].map(|four| {
        let [first, second] = [_mm_cvtsi128_si64(four), _mm_extract_epi64::<1>(four)].map(|two| {
            // SAFETY: masked to SLOTS - 1, every place is within `slots`.
            let [even, odd] = [two as u32, (two >> 32) as u32]
                .map(|place| _mm_cvtsi32_si128(unsafe { *slots.get_unchecked(place as usize) } as i32));
            _mm_unpacklo_epi32(even, odd)
        });
        _mm_unpacklo_epi64(first, second)
    });
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b)
}

//! The kernel for processors with AVX2. The eight lanes of a group are one vector, and the four
//! groups take turns to hide the latency of the gathers.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{BEYOND, Rows};
use crate::entropy::frequency::{SCALE, SCALE_BITS};
use crate::entropy::rans::decoder::SLOTS;
use crate::entropy::rans::{GROUPS, LANES, LOW};

/// The index of the word that each lane takes, a byte per lane, for each set of lanes that take
/// one.
static TAKE: [u64; 256] = {
    let mut take = [0; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut word) = (0, 0);
        while lane < LANES {
            if mask >> lane & 1 == 1 {
                take[mask] |= word << (8 * lane);
                word += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    take
};

/// Returns true if the processor has AVX2 and POPCNT.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt")
}

/// The [`Kernel`](super::Kernel), which needs AVX2 and POPCNT.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn decode(
    Rows { slots, zeros, words, contexts, symbols }: Rows<'_>,
    states: &mut [[u32; LANES]; GROUPS],
) -> [usize; GROUPS] {
    assert!(words.iter().all(|words| words.len() >= contexts.len() * LANES + BEYOND));
    let slot_mask = _mm256_set1_epi32(SCALE as i32 - 1);
    let table_mask = _mm256_set1_epi32(SLOTS as i32 - 1);
    let frequency_mask = _mm256_set1_epi32(0xfff);
    let low = _mm256_set1_epi32(LOW as i32);
    let highest_short = _mm256_set1_epi32(LOW as i32 - 1);
    let low_bytes = _mm256_set1_epi32(0x0c08_0400);
    let base: *const i32 = slots.as_ptr().cast();
    let mut x = [_mm256_setzero_si256(); GROUPS];
    for (x, states) in x.iter_mut().zip(states.iter()) {
        // SAFETY: a group's states are 32 bytes.
        *x = unsafe { _mm256_loadu_si256(states.as_ptr().cast()) };
    }
    let words = words.map(|words| words.as_ptr());
    let mut taken = [0; GROUPS];
    // SAFETY: there are eight frequencies.
    let zeros = zeros.map(|zeros: [u32; LANES]| unsafe { _mm256_loadu_si256(zeros.as_ptr().cast()) });
    for (contexts, symbols) in contexts.iter().zip(symbols) {
        for g in 0..GROUPS {
            let at = g * LANES;
            // SAFETY: a group has eight contexts in a row.
            let context = unsafe { _mm_loadl_epi64(contexts.as_ptr().add(at).cast()) };
            let (context, own_slot) = (_mm256_cvtepu8_epi32(context), _mm256_and_si256(x[g], slot_mask));
            let quotient = _mm256_srli_epi32::<{ SCALE_BITS as i32 }>(x[g]);
            if let Some(zeros) = zeros {
                let frequency = _mm256_permutevar8x32_epi32(zeros, context);
                let is_zero = _mm256_cmpgt_epi32(frequency, own_slot);
                let next = _mm256_add_epi32(_mm256_mullo_epi32(frequency, quotient), own_slot);
                let stays = _mm256_cmpgt_epi32(next, highest_short);
                if _mm256_movemask_epi8(_mm256_and_si256(is_zero, stays)) == -1 {
                    x[g] = next;
                    symbols[at..at + LANES].fill(0);
                    continue;
                }
            }
            let table = _mm256_slli_epi32::<{ SCALE_BITS as i32 }>(context);
            let slot = _mm256_and_si256(_mm256_or_si256(table, own_slot), table_mask);
            // SAFETY: masked to SLOTS - 1, every index is within `slots`.
            let entry = unsafe { _mm256_i32gather_epi32::<4>(base, slot) };
            let frequency = _mm256_and_si256(_mm256_srli_epi32::<8>(entry), frequency_mask);
            let next = _mm256_add_epi32(_mm256_mullo_epi32(frequency, quotient), _mm256_srli_epi32::<20>(entry));
            let short = _mm256_cmpgt_epi32(low, next);
            let mask = _mm256_movemask_ps(_mm256_castsi256_ps(short)) as usize;
            // SAFETY: a row takes at most LANES words of a group, so that the assertion leaves
            // BEYOND of them before every row.
            let ahead = unsafe { _mm_loadu_si128(words[g].add(taken[g]).cast()) };
            let take = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(TAKE[mask & 255] as i64));
            let word = _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(ahead), take);
            let refilled = _mm256_or_si256(_mm256_slli_epi32::<16>(next), word);
            x[g] = _mm256_blendv_epi8(next, refilled, short);
            taken[g] += mask.count_ones() as usize;
            // The shuffle gathers the low byte of each lane, four in each half.
            let bytes = _mm256_shuffle_epi8(entry, low_bytes);
            let (first, second) = (_mm256_extract_epi32::<0>(bytes), _mm256_extract_epi32::<4>(bytes));
            symbols[at..at + 4].copy_from_slice(&first.to_le_bytes());
            symbols[at + 4..at + 8].copy_from_slice(&second.to_le_bytes());
        }
    }
    for (x, states) in x.iter().zip(states) {
        // SAFETY: a group's states are 32 bytes.
        unsafe { _mm256_storeu_si256(states.as_mut_ptr().cast(), *x) };
    }
    taken
}

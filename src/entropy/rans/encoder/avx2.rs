//! The encoder for processors with AVX2. The eight lanes of a group are one vector, and the four
//! groups take turns to hide the latency of the multiplications.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{EncodeSymbol, Words};
use crate::entropy::rans::{GROUPS, LANES, ROW};

/// The bytes that move the words of the lanes that give one to the front, the last lane's first,
/// for each set of lanes.
static GIVE: [[u8; 16]; 256] = {
    let mut give = [[0x80; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut byte) = (LANES, 0);
        while lane > 0 {
            lane -= 1;
            if mask >> lane & 1 == 1 {
                give[mask][byte] = 2 * lane as u8;
                give[mask][byte + 1] = 2 * lane as u8 + 1;
                byte += 2;
            }
        }
        mask += 1;
    }
    give
};

/// Encodes rows as [`Encoder::encode_rows`](super::Encoder::encode_rows) does and returns true.
/// Returns false and does nothing if the processor lacks AVX2 or POPCNT.
pub(super) fn encode(
    tables: &[[EncodeSymbol; 256]],
    contexts: &[[u8; ROW]],
    symbols: &[[u8; ROW]],
    states: &mut [[u32; LANES]; GROUPS],
    words: &mut [Words; GROUPS],
) -> bool {
    let able = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt");
    if able {
        // SAFETY: the check above found AVX2 and POPCNT.
        unsafe { encode_with_avx2(tables, contexts, symbols, states, words) };
    }
    able
}

#[target_feature(enable = "avx2,popcnt")]
fn encode_with_avx2(
    tables: &[[EncodeSymbol; 256]],
    contexts: &[[u8; ROW]],
    symbols: &[[u8; ROW]],
    states: &mut [[u32; LANES]; GROUPS],
    words: &mut [Words; GROUPS],
) {
    let last = contexts.as_flattened().iter().fold(0, |last, &context| last.max(context));
    assert!(usize::from(last) < tables.len() || contexts.is_empty());
    assert!(words.iter().all(|w| w.words.len() >= w.count + contexts.len() * LANES + Words::BEYOND));
    let mut x = [_mm256_setzero_si256(); GROUPS];
    for (x, states) in x.iter_mut().zip(states.iter()) {
        // SAFETY: a group's states are 32 bytes.
        *x = unsafe { _mm256_loadu_si256(states.as_ptr().cast()) };
    }
    let mut counts = words.each_ref().map(|words| words.count);
    let places = words.each_mut().map(|words| words.words.as_mut_ptr());
    let zeros = Zeros::of(tables);
    for (contexts, symbols) in contexts.iter().zip(symbols).rev() {
        for g in 0..GROUPS {
            let (contexts, symbols) = (&contexts.as_chunks().0[g], &symbols.as_chunks().0[g]);
            let symbols = match &zeros {
                Some(zeros) if *symbols == [0; LANES] => zeros.look_up(contexts),
                // SAFETY: every context is the number of a table.
                _ => unsafe { look_up(tables, contexts, symbols) },
            };
            let (next, given, mask) = step(x[g], symbols);
            x[g] = next;
            // SAFETY: a row gives at most LANES words of a group, so that the assertion leaves room
            // for BEYOND of them before every row.
            unsafe { _mm_storeu_si128(places[g].add(counts[g]).cast(), given) };
            counts[g] += mask.count_ones() as usize;
        }
    }
    for ((x, states), (words, count)) in x.iter().zip(states).zip(words.iter_mut().zip(counts)) {
        // SAFETY: a group's states are 32 bytes.
        unsafe { _mm256_storeu_si256(states.as_mut_ptr().cast(), *x) };
        words.count = count;
    }
}

/// The fields of [`EncodeSymbol`] of eight lanes; the last has complements and shifts.
type Symbols = [__m256i; 4];

/// The constants of symbol 0 in each of at most eight tables. In a light change, nearly all lanes
/// of all groups have that symbol, and this look-up takes a third of the time of the other one.
struct Zeros(Symbols);

impl Zeros {
    /// Returns `None` for more than eight tables.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(tables: &[[EncodeSymbol; 256]]) -> Option<Self> {
        let mut fields = [[0; LANES]; 4];
        for (i, table) in tables.iter().enumerate() {
            let zero = table[0];
            let last = u32::from(zero.complement) | u32::from(zero.shift) << 16;
            for (field, value) in fields.iter_mut().zip([zero.limit, zero.reciprocal, zero.bias, last]) {
                *field.get_mut(i)? = value;
            }
        }
        // SAFETY: a field's values are 32 bytes.
        Some(Self(fields.map(|field| unsafe { _mm256_loadu_si256(field.as_ptr().cast()) })))
    }

    /// Returns the constants of eight lanes with symbol 0.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn look_up(&self, contexts: &[u8; LANES]) -> Symbols {
        let contexts = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*contexts)));
        let [limit, reciprocal, bias, last] = self.0;
        let of = |field| _mm256_permutevar8x32_epi32(field, contexts);
        [of(limit), of(reciprocal), of(bias), of(last)]
    }
}

/// Returns the constants of the symbols of eight lanes.
///
/// # Safety
/// Each context must be the number of a table.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn look_up(tables: &[[EncodeSymbol; 256]], contexts: &[u8; LANES], symbols: &[u8; LANES]) -> Symbols {
    const { assert!(size_of::<EncodeSymbol>() == 16) };
    let base = tables.as_ptr().cast::<__m128i>();
    let [contexts, symbols] = [contexts, symbols].map(|bytes| _mm_cvtsi64_si128(i64::from_le_bytes(*bytes)));
    let places = _mm_unpacklo_epi8(symbols, contexts);
    let (low, high) = (_mm_cvtsi128_si64(places) as u64, _mm_extract_epi64::<1>(places) as u64);
    let pair = |i: usize| {
        let (low, high) = ((low >> (16 * i)) as u16, (high >> (16 * i)) as u16);
        // SAFETY: each context is the number of a table of 256 symbols, whose constants are 16
        // bytes each.
        unsafe {
            let (low, high) = (base.add(usize::from(low)), base.add(usize::from(high)));
            _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(_mm_load_si128(low)), _mm_load_si128(high))
        }
    };
    let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
    let (e, f) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (g, h) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [_mm256_unpacklo_epi64(e, f), _mm256_unpackhi_epi64(e, f), _mm256_unpacklo_epi64(g, h), _mm256_unpackhi_epi64(g, h)]
}

/// Returns the states after the symbols, as [`EncodeSymbol::encode`] does, the words that leave
/// them, and the lanes that these leave.
#[inline]
#[target_feature(enable = "avx2")]
fn step(states: __m256i, [limit, reciprocal, bias, last]: Symbols) -> (__m256i, __m128i, u32) {
    // States and limits less 1 are below 2^31, as signed comparisons need it.
    let full = _mm256_cmpgt_epi32(states, _mm256_sub_epi32(limit, _mm256_set1_epi32(1)));
    let mask = _mm256_movemask_ps(_mm256_castsi256_ps(full)) as u32 & 255;
    let low = _mm256_and_si256(states, _mm256_set1_epi32(0xffff));
    let words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
    // SAFETY: an entry is 16 bytes.
    let give = unsafe { _mm_loadu_si128(GIVE[mask as usize].as_ptr().cast()) };
    let x = _mm256_srlv_epi32(states, _mm256_and_si256(full, _mm256_set1_epi32(16)));
    let even = _mm256_srli_epi64::<32>(_mm256_mul_epu32(x, reciprocal));
    let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(x), _mm256_srli_epi64::<32>(reciprocal));
    let product = _mm256_blend_epi32::<0b1010_1010>(even, odd);
    let quotient = _mm256_srlv_epi32(product, _mm256_srli_epi32::<16>(last));
    let complement = _mm256_and_si256(last, _mm256_set1_epi32(0xffff));
    let next = _mm256_add_epi32(_mm256_add_epi32(x, bias), _mm256_mullo_epi32(quotient, complement));
    (next, _mm_shuffle_epi8(words, give), mask)
}

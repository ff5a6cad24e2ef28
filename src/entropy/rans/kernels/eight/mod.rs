//! The kernel for vectors of 16 bytes: SSE4.1, NEON and WebAssembly's. The eight lanes of a group
//! are two vectors, and the four groups take turns to hide the latency of their loads.
//!
//! All eight lanes are refilled at once. Narrowed to 16 bits with saturation, states that need a
//! word stay below 2^15, and all others get the highest bit. So the signs tell which lanes need
//! none. A word with the narrowed state above it is the refilled state of a lane that needs one,
//! and negative for all others, so the signed maximum of it and the state is the new state.

#[cfg_attr(target_arch = "x86_64", path = "sse41.rs")]
#[cfg_attr(target_arch = "aarch64", path = "neon.rs")]
#[cfg_attr(target_arch = "wasm32", path = "simd128.rs")]
mod unit;

#[cfg(target_arch = "x86_64")]
pub(super) use unit::is_available;

use super::{BEYOND, Rows};
use crate::entropy::frequency::{SCALE, SCALE_BITS};
use crate::entropy::rans::decoder::SLOTS;
use crate::entropy::rans::{GROUPS, LANES};
use unit::*;

/// The bytes of the next words that each lane takes, two per lane, for each set of lanes that need
/// no word. Lanes of the set have places outside of a vector, which give 0.
static TAKE: [[u8; 2 * LANES]; 256] = {
    let mut take = [[0x80; 2 * LANES]; 256];
    let mut full = 0;
    while full < 256 {
        let (mut lane, mut next) = (0, 0);
        while lane < LANES {
            if full >> lane & 1 == 0 {
                take[full][2 * lane] = next;
                take[full][2 * lane + 1] = next + 1;
                next += 2;
            }
            lane += 1;
        }
        full += 1;
    }
    take
};

/// The [`Kernel`](super::Kernel), which on `x86_64` needs SSE4.1 and POPCNT.
#[inline(never)]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse4.1,popcnt"))]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
pub(super) fn decode(
    Rows { slots, words, contexts, symbols }: Rows<'_>,
    states: &mut [[u32; LANES]; GROUPS],
) -> [usize; GROUPS] {
    assert!(words.iter().all(|words| words.len() >= contexts.len() * LANES + BEYOND));
    let (slot_mask, context_mask) = (splat32(SCALE - 1), splat16((SLOTS as u32 / SCALE - 1) as u16));
    let (frequency_mask, opaque) = (splat32(0xfff), opaque_zero());
    let mut taken = [0; GROUPS];
    let [[mut a, mut b], [mut c, mut d], [mut e, mut f], [mut g, mut h]] = states
        .each_ref()
        .map(|states| states.as_chunks::<4>().0)
        .map(|halves| [load32(&halves[0]), load32(&halves[1])]);
    macro_rules! step {
        ($contexts:ident, $symbols:ident, $group:literal, $x:ident, $y:ident) => {
            // SAFETY: a group has eight contexts in a row.
            let context = unsafe { load_widened($contexts.as_ptr().add($group * LANES)) };
            let context = and(context, context_mask);
            let slot = |x, context| or(and(x, slot_mask), shift_left::<SCALE_BITS>(context));
            // SAFETY: contexts masked to the number of tables, and states masked to the slots of a
            // table, are within `slots`.
            let first = unsafe { gather(slots.as_ptr(), slot($x, widen_low(context)), opaque) };
            // SAFETY: as above.
            let second = unsafe { gather(slots.as_ptr(), slot($y, widen_high(context)), opaque) };
            let next = |x, entry| {
                let frequency = and(shift_right::<8>(entry), frequency_mask);
                add(multiply(frequency, shift_right::<SCALE_BITS>(x)), shift_right::<20>(entry))
            };
            let (x, y) = (next($x, first), next($y, second));
            let narrow = narrow(x, y);
            let full = signs(narrow);
            // SAFETY: a row takes at most LANES words of a group, so that the assertion leaves
            // BEYOND of them before every row.
            let ahead = unsafe { load(words[$group].as_ptr().add(taken[$group]).cast()) };
            // SAFETY: there are eight signs, and an element of TAKE has 16 bytes.
            let word = swizzle(ahead, unsafe { load(TAKE.as_ptr().add(full & 255).cast()) });
            taken[$group] += LANES - full.count_ones() as usize;
            $x = maximum(x, interleave_low(word, narrow));
            $y = maximum(y, interleave_high(word, narrow));
            // SAFETY: a group has eight symbols in a row.
            unsafe { store_low_bytes(first, second, $symbols.as_mut_ptr().add($group * LANES)) };
        };
    }
    for (contexts, symbols) in contexts.iter().zip(symbols) {
        step!(contexts, symbols, 0, a, b);
        step!(contexts, symbols, 1, c, d);
        step!(contexts, symbols, 2, e, f);
        step!(contexts, symbols, 3, g, h);
    }
    for (states, halves) in states.iter_mut().zip([[a, b], [c, d], [e, f], [g, h]]) {
        states.as_chunks_mut().0.iter_mut().zip(halves).for_each(|(states, half)| store32(half, states));
    }
    taken
}

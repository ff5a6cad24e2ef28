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

/// The eight lanes of a group.
type Lanes = [Vector; 2];

/// The tables, and vectors that every step uses.
struct Tables<'a> {
    slots: &'a [u32; SLOTS],
    slot_mask: Vector,
    context_mask: Vector,
    frequency_mask: Vector,
    opaque: Vector,
}

/// The [`Kernel`](super::Kernel), which on `x86_64` needs SSE4.1 and POPCNT.
#[inline(never)]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse4.1,popcnt"))]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
pub(super) fn decode(
    Rows { slots, words, contexts, symbols, .. }: Rows<'_>,
    states: &mut [[u32; LANES]; GROUPS],
) -> [usize; GROUPS] {
    assert!(words.iter().all(|words| words.len() >= contexts.len() * LANES + BEYOND));
    let (slot_mask, context_mask) = (splat32(SCALE - 1), splat16((SLOTS as u32 / SCALE - 1) as u16));
    let tables = Tables { slots, slot_mask, context_mask, frequency_mask: splat32(0xfff), opaque: opaque_zero() };
    let [mut a, mut b, mut c, mut d] = states.each_ref().map(|states| {
        let halves = states.as_chunks::<4>().0;
        [load32(&halves[0]), load32(&halves[1])]
    });
    let mut next = words.map(|words| words.as_ptr());
    for (contexts, symbols) in contexts.iter().zip(symbols) {
        let (contexts, symbols) = (contexts.as_chunks().0, symbols.as_chunks_mut().0);
        // The groups have names, so that their states stay in registers. SAFETY: a row takes at
        // most LANES words of a group, so that the assertion leaves BEYOND of them before every
        // row.
        unsafe {
            step(&tables, &mut a, &mut next[0], &contexts[0], &mut symbols[0]);
            step(&tables, &mut b, &mut next[1], &contexts[1], &mut symbols[1]);
            step(&tables, &mut c, &mut next[2], &contexts[2], &mut symbols[2]);
            step(&tables, &mut d, &mut next[3], &contexts[3], &mut symbols[3]);
        }
    }
    for (states, lanes) in states.iter_mut().zip([a, b, c, d]) {
        states.as_chunks_mut().0.iter_mut().zip(lanes).for_each(|(states, half)| store32(half, states));
    }
    std::array::from_fn(|g| (next[g].addr() - words[g].as_ptr().addr()) / 2)
}

/// Decodes a symbol of each lane.
///
/// # Safety
/// [`BEYOND`] words must be readable at `next`.
#[cfg_attr(target_arch = "wasm32", inline(always))]
#[cfg_attr(not(target_arch = "wasm32"), inline)]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse4.1,popcnt"))]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
unsafe fn step(
    tables: &Tables<'_>,
    lanes: &mut Lanes,
    next: &mut *const [u8; 2],
    contexts: &[u8; LANES],
    symbols: &mut [u8; LANES],
) {
    // SAFETY: a group has eight contexts in a row.
    let context = and(unsafe { load_widened(contexts.as_ptr()) }, tables.context_mask);
    let first = look_up(tables, lanes[0], widen_low(context));
    let second = look_up(tables, lanes[1], widen_high(context));
    let (x, y) = (advance(tables, lanes[0], first), advance(tables, lanes[1], second));
    let narrow = narrow(x, y);
    let full = signs(narrow) & 255;
    // SAFETY: the caller vouches for the words, and an element of TAKE has 16 bytes.
    let word = unsafe { swizzle(load(next.cast()), load(TAKE[full].as_ptr())) };
    *next = next.wrapping_add(LANES - full.count_ones() as usize);
    *lanes = [maximum(x, interleave_low(word, narrow)), maximum(y, interleave_high(word, narrow))];
    // SAFETY: a group has eight symbols in a row.
    unsafe { store_low_bytes(first, second, symbols.as_mut_ptr()) };
}

/// Returns the entries of four states in their contexts.
#[cfg_attr(target_arch = "wasm32", inline(always))]
#[cfg_attr(not(target_arch = "wasm32"), inline)]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse4.1,popcnt"))]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
fn look_up(tables: &Tables<'_>, states: Vector, contexts: Vector) -> Vector {
    let slots = or(and(states, tables.slot_mask), shift_left::<SCALE_BITS>(contexts));
    // SAFETY: contexts masked to the number of tables, and states masked to the slots of a table,
    // are within the tables.
    unsafe { gather(tables.slots.as_ptr(), slots, tables.opaque) }
}

/// Returns four states after their symbols, before they are refilled.
#[cfg_attr(target_arch = "wasm32", inline(always))]
#[cfg_attr(not(target_arch = "wasm32"), inline)]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse4.1,popcnt"))]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
fn advance(tables: &Tables<'_>, states: Vector, entries: Vector) -> Vector {
    let frequencies = and(shift_right::<8>(entries), tables.frequency_mask);
    add(multiply(frequencies, shift_right::<SCALE_BITS>(states)), shift_right::<20>(entries))
}

//! The kernel of [`Lookup::map`](super::Lookup::map) for WebAssembly, which maps 16 bytes at a
//! time.

use std::arch::wasm32::*;

use super::Lookup;
use super::groups::GROUP;
use crate::simd128::{load, store};

/// Maps whole vectors and returns the bytes that are left.
pub(super) fn map<'a>(lookup: &Lookup, bytes: &'a mut [u8]) -> &'a mut [u8] {
    let groups = lookup.groups();
    let mut tables = [u8x16_splat(0); 128 / GROUP];
    tables.iter_mut().zip(groups).for_each(|(table, group)| *table = load(group));
    let last = u8x16_splat(lookup.last);
    let (blocks, rest) = bytes.as_chunks_mut::<GROUP>();
    for block in blocks {
        let mut place = u8x16_min(load(block), last);
        let mut mapped = u8x16_splat(0);
        for table in &tables[..groups.len()] {
            // The swizzle turns places outside of this group into zeros.
            mapped = v128_or(mapped, u8x16_swizzle(*table, place));
            place = u8x16_sub(place, u8x16_splat(GROUP as u8));
        }
        store(mapped, block);
    }
    rest
}

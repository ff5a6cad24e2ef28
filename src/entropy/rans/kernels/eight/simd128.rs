//! The operations of the kernel in WebAssembly's vector instructions.

use std::arch::wasm32::*;
pub(super) use std::arch::wasm32::{
    i32x4_add as add, i32x4_max as maximum, i32x4_mul as multiply, u8x16_swizzle as swizzle, u16x8_splat as splat16,
    u32x4_extend_high_u16x8 as widen_high, u32x4_extend_low_u16x8 as widen_low, u32x4_splat as splat32,
    v128_and as and, v128_or as or,
};

/// A vector of 16 bytes.
pub(super) type Vector = v128;

/// Returns a zero that the compiler does not know. It takes entries that were loaded lane by lane
/// apart again, unless an operation with an unknown operand is between.
pub(super) fn opaque_zero() -> Vector {
    u32x4_splat(std::hint::black_box(0))
}

/// Loads 16 bytes.
///
/// # Safety
/// They must be readable at `from`.
#[inline(always)]
pub(super) unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: the caller vouches for 16 bytes, and the load needs no alignment.
    unsafe { v128_load(from.cast()) }
}

/// Loads eight bytes as 16-bit numbers.
///
/// # Safety
/// They must be readable at `from`.
#[inline(always)]
pub(super) unsafe fn load_widened(from: *const u8) -> Vector {
    // SAFETY: the caller vouches for eight bytes, and the load needs no alignment.
    unsafe { u16x8_load_extend_u8x8(from) }
}

#[inline(always)]
pub(super) fn load32(from: &[u32; 4]) -> Vector {
    u32x4(from[0], from[1], from[2], from[3])
}

#[inline(always)]
pub(super) fn store32(vector: Vector, to: &mut [u32; 4]) {
    // SAFETY: four numbers are 16 bytes, and the store needs no alignment.
    unsafe { v128_store(to.as_mut_ptr().cast(), vector) }
}

/// Returns four entries of `table`.
///
/// # Safety
/// The indices in `slots` must be within `table`.
#[inline(always)]
pub(super) unsafe fn gather(table: *const u32, slots: Vector, opaque: Vector) -> Vector {
    let places = i32x4_add(i32x4_shl(slots, 2), u32x4_splat(table as u32));
    // SAFETY: the caller vouches for the indices, and so for the places.
    let entries = unsafe {
        let entry = v128_load32_zero(u32x4_extract_lane::<0>(places) as *const u32);
        let entry = v128_load32_lane::<1>(entry, u32x4_extract_lane::<1>(places) as *const u32);
        let entry = v128_load32_lane::<2>(entry, u32x4_extract_lane::<2>(places) as *const u32);
        v128_load32_lane::<3>(entry, u32x4_extract_lane::<3>(places) as *const u32)
    };
    v128_xor(entries, opaque)
}

#[inline(always)]
pub(super) fn shift_left<const BITS: u32>(vector: Vector) -> Vector {
    u32x4_shl(vector, BITS)
}

#[inline(always)]
pub(super) fn shift_right<const BITS: u32>(vector: Vector) -> Vector {
    u32x4_shr(vector, BITS)
}

/// Returns eight 32-bit numbers in 16 bits each, larger ones as 2^16 - 1.
#[inline(always)]
pub(super) fn narrow(first: Vector, second: Vector) -> Vector {
    // The instruction takes signed numbers. With the minimum the compiler knows that there are no
    // negative ones, and does not add a comparison of its own.
    let most = u32x4_splat(0xffff);
    u16x8_narrow_i32x4(u32x4_min(first, most), u32x4_min(second, most))
}

/// Returns the signs of eight 16-bit numbers, a bit each.
#[inline(always)]
pub(super) fn signs(vector: Vector) -> usize {
    usize::from(i16x8_bitmask(vector))
}

/// Returns the low four 16-bit numbers of both vectors in turns.
#[inline(always)]
pub(super) fn interleave_low(first: Vector, second: Vector) -> Vector {
    i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(first, second)
}

/// Returns the high four 16-bit numbers of both vectors in turns.
#[inline(always)]
pub(super) fn interleave_high(first: Vector, second: Vector) -> Vector {
    i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(first, second)
}

/// Stores the low bytes of eight 32-bit numbers.
///
/// # Safety
/// Eight bytes must be writable at `to`.
#[inline(always)]
pub(super) unsafe fn store_low_bytes(first: Vector, second: Vector, to: *mut u8) {
    let low = u32x4_splat(0xff);
    let words = u16x8_narrow_i32x4(v128_and(first, low), v128_and(second, low));
    // SAFETY: the caller vouches for eight bytes, and the store needs no alignment.
    unsafe { v128_store64_lane::<0>(u8x16_narrow_i16x8(words, words), to.cast()) }
}

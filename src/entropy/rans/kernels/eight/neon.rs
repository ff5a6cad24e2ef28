//! The operations of the kernel in NEON, which every `aarch64` processor has.

use std::arch::aarch64::*;
pub(super) use std::arch::aarch64::{vaddq_u32 as add, vandq_u32 as and, vmulq_u32 as multiply, vorrq_u32 as or};

/// A vector of 16 bytes.
pub(super) type Vector = uint32x4_t;

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn splat32(number: u32) -> Vector {
    vdupq_n_u32(number)
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn splat16(number: u16) -> Vector {
    vreinterpretq_u32_u16(vdupq_n_u16(number))
}

/// Returns zeros, which only the gather of WebAssembly uses.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn opaque_zero() -> Vector {
    vdupq_n_u32(0)
}

/// Loads 16 bytes.
///
/// # Safety
/// They must be readable at `from`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: the caller vouches for 16 bytes.
    vreinterpretq_u32_u8(unsafe { vld1q_u8(from) })
}

/// Loads eight bytes as 16-bit numbers.
///
/// # Safety
/// They must be readable at `from`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load_widened(from: *const u8) -> Vector {
    // SAFETY: the caller vouches for eight bytes.
    vreinterpretq_u32_u16(vmovl_u8(unsafe { vld1_u8(from) }))
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load32(from: &[u32; 4]) -> Vector {
    // SAFETY: four numbers are 16 bytes.
    unsafe { vld1q_u32(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store32(vector: Vector, to: &mut [u32; 4]) {
    // SAFETY: four numbers are 16 bytes.
    unsafe { vst1q_u32(to.as_mut_ptr(), vector) }
}

/// Returns four entries of `table`.
///
/// # Safety
/// The indices in `slots` must be within `table`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn gather(table: *const u32, slots: Vector, _opaque: Vector) -> Vector {
    let place = |index: u32| table.wrapping_add(index as usize);
    // SAFETY: the caller vouches for the indices.
    unsafe {
        let entries = vld1q_dup_u32(place(vgetq_lane_u32::<0>(slots)));
        let entries = vld1q_lane_u32::<1>(place(vgetq_lane_u32::<1>(slots)), entries);
        let entries = vld1q_lane_u32::<2>(place(vgetq_lane_u32::<2>(slots)), entries);
        vld1q_lane_u32::<3>(place(vgetq_lane_u32::<3>(slots)), entries)
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn widen_low(vector: Vector) -> Vector {
    vmovl_u16(vget_low_u16(vreinterpretq_u16_u32(vector)))
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn widen_high(vector: Vector) -> Vector {
    vmovl_high_u16(vreinterpretq_u16_u32(vector))
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn shift_left<const BITS: u32>(vector: Vector) -> Vector {
    vshlq_u32(vector, vdupq_n_s32(BITS as i32))
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn shift_right<const BITS: u32>(vector: Vector) -> Vector {
    vshlq_u32(vector, vdupq_n_s32(-(BITS as i32)))
}

/// Returns eight 32-bit numbers in 16 bits each, larger ones as 2^16 - 1.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn narrow(first: Vector, second: Vector) -> Vector {
    vreinterpretq_u32_u16(vqmovn_high_u32(vqmovn_u32(first), second))
}

/// Returns the signs of eight 16-bit numbers, a bit each.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn signs(vector: Vector) -> usize {
    const BITS: [u16; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: eight numbers of 16 bits are 16 bytes.
    let bits = unsafe { vld1q_u16(BITS.as_ptr()) };
    let negative = vcltzq_s16(vreinterpretq_s16_u32(vector));
    usize::from(vaddvq_u16(vandq_u16(negative, bits)))
}

/// Returns the bytes at the given places, and 0 for places from 16 on.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn swizzle(bytes: Vector, places: Vector) -> Vector {
    vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(bytes), vreinterpretq_u8_u32(places)))
}

/// Returns the larger ones of signed numbers.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn maximum(first: Vector, second: Vector) -> Vector {
    vreinterpretq_u32_s32(vmaxq_s32(vreinterpretq_s32_u32(first), vreinterpretq_s32_u32(second)))
}

/// Returns the low four 16-bit numbers of both vectors in turns.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn interleave_low(first: Vector, second: Vector) -> Vector {
    vreinterpretq_u32_u16(vzip1q_u16(vreinterpretq_u16_u32(first), vreinterpretq_u16_u32(second)))
}

/// Returns the high four 16-bit numbers of both vectors in turns.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn interleave_high(first: Vector, second: Vector) -> Vector {
    vreinterpretq_u32_u16(vzip2q_u16(vreinterpretq_u16_u32(first), vreinterpretq_u16_u32(second)))
}

/// Stores the low bytes of eight 32-bit numbers.
///
/// # Safety
/// Eight bytes must be writable at `to`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store_low_bytes(first: Vector, second: Vector, to: *mut u8) {
    let words = vmovn_high_u32(vmovn_u32(first), second);
    // SAFETY: the caller vouches for eight bytes.
    unsafe { vst1_u8(to, vmovn_u16(words)) }
}

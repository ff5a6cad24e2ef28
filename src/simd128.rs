//! The vectors of WebAssembly, loaded from blocks of numbers and stored to them.
//!
//! The kernels of the encoder need them most: its files are optimised for size, where the compiler
//! makes no vectors of loops by itself.
#![allow(unsafe_code)]

use std::arch::wasm32::*;

use bytemuck::Pod;

/// Loads a block of 16 bytes.
#[inline(always)]
pub(crate) fn load<T: Pod, const N: usize>(block: &[T; N]) -> v128 {
    const { assert!(size_of::<[T; N]>() == 16) };
    // SAFETY: a block has 16 bytes, and the load needs no alignment.
    unsafe { v128_load(block.as_ptr().cast()) }
}

/// Loads a block of 8 bytes into the low half of a vector. The high half is zero.
#[inline(always)]
pub(crate) fn load_half<T: Pod, const N: usize>(block: &[T; N]) -> v128 {
    const { assert!(size_of::<[T; N]>() == 8) };
    // SAFETY: a block has 8 bytes, and the load needs no alignment.
    unsafe { v128_load64_zero(block.as_ptr().cast()) }
}

/// Stores a vector to a block of 16 bytes.
#[inline(always)]
pub(crate) fn store<T: Pod, const N: usize>(vector: v128, block: &mut [T; N]) {
    const { assert!(size_of::<[T; N]>() == 16) };
    // SAFETY: a block has 16 bytes, and the store needs no alignment.
    unsafe { v128_store(block.as_mut_ptr().cast(), vector) }
}

/// Stores the low half of a vector to a block of 8 bytes.
#[inline(always)]
pub(crate) fn store_half<T: Pod, const N: usize>(vector: v128, block: &mut [T; N]) {
    const { assert!(size_of::<[T; N]>() == 8) };
    // SAFETY: a block has 8 bytes, and the store needs no alignment.
    unsafe { v128_store64_lane::<0>(vector, block.as_mut_ptr().cast()) }
}

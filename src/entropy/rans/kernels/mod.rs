//! Kernels: decoders of a full strip for vector units. They do what
//! [`decode_blocks`](super::Decoder::decode_blocks) does, the words that lanes take past the end of
//! a damaged stream included.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128")))]
mod eight;

use super::decoder::SLOTS;
use super::{BLOCK, GROUPS, Group, LANES, STRIP};

/// The largest number of words of a block, and those that its last step loads beyond them.
const AHEAD: usize = BLOCK + LANES;

/// The next words of a group.
type Words = [[u8; 2]; AHEAD];

/// The tables, the contexts and the symbols of a strip.
pub(super) struct Strip<'a> {
    slots: &'a [u32; SLOTS],
    contexts: &'a [u8; STRIP],
    symbols: &'a mut [u8; STRIP],
}

/// A function that decodes a strip from the groups' words, moves on their states and returns the
/// number of words that each group took. The processor must have the vector unit that it is for.
pub(super) type Kernel = unsafe fn(Strip<'_>, [&Words; GROUPS], &mut [[u32; LANES]; GROUPS]) -> [usize; GROUPS];

/// Returns the kernels that this processor can run, the fastest first.
pub(super) fn available() -> impl Iterator<Item = Kernel> {
    #[cfg(target_arch = "x86_64")]
    let kernels = [
        avx2::is_available().then_some(avx2::decode as Kernel),
        eight::is_available().then_some(eight::decode as Kernel),
    ];
    #[cfg(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128")))]
    let kernels = [Some(eight::decode as Kernel)];
    #[cfg(not(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        all(target_arch = "wasm32", target_feature = "simd128")
    )))]
    let kernels: [Option<Kernel>; 0] = [];
    kernels.into_iter().flatten()
}

/// Returns the fastest kernel that this processor can run.
pub(super) fn fastest() -> Option<Kernel> {
    available().next()
}

/// Decodes a full strip with a kernel of [`available`] and returns true. Returns false and does
/// nothing if there are fewer than [`GROUPS`] groups.
pub(super) fn decode_strip(
    kernel: Kernel,
    slots: &[u32; SLOTS],
    groups: &mut [Group<'_>],
    contexts: &[u8; STRIP],
    symbols: &mut [u8; STRIP],
) -> bool {
    let Ok(groups) = <&mut [Group<'_>; GROUPS]>::try_from(groups) else { return false };
    let padded: [Words; GROUPS];
    let ahead = groups.each_ref().map(Group::ahead::<AHEAD>);
    let words = if let [Some(a), Some(b), Some(c), Some(d)] = ahead {
        [a, b, c, d]
    } else {
        padded = groups.each_ref().map(Group::ahead_padded);
        padded.each_ref()
    };
    let mut states = groups.each_ref().map(|group| group.states);
    // SAFETY: `available` returns only kernels that the processor can run.
    let taken = unsafe { kernel(Strip { slots, contexts, symbols }, words, &mut states) };
    for (group, (states, taken)) in groups.iter_mut().zip(states.into_iter().zip(taken)) {
        group.states = states;
        group.position += taken;
    }
    true
}

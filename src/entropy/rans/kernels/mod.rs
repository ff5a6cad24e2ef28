//! Kernels: decoders of whole rows for vector units. They do what
//! [`decode_rows`](super::Decoder::decode_rows) does, the words that lanes take past the end of a
//! damaged stream included.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128")))]
mod eight;

use super::decoder::SLOTS;
use super::{Decoder, GROUPS, Group, LANES, ROW};

/// Words that the last step of a kernel loads beyond those that it can take.
pub(super) const BEYOND: usize = LANES;

/// The input and the output of a kernel. There are as many symbols as contexts.
pub(super) struct Rows<'a> {
    slots: &'a [u32; SLOTS],
    /// The frequency of symbol 0 for each context, if contexts are below [`LANES`] and most symbols
    /// are 0. Only the kernels with AVX2 and AVX-512 have a path of their own for them.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    zeros: Option<[u32; LANES]>,
    /// The next words of each group, at least [`LANES`] for each row and [`BEYOND`] more.
    words: [&'a [[u8; 2]]; GROUPS],
    contexts: &'a [[u8; ROW]],
    symbols: &'a mut [[u8; ROW]],
}

/// A function that decodes rows, moves on the groups' states and returns the number of words that
/// each group took. The processor must have the vector unit that it is for.
pub(super) type Kernel = unsafe fn(Rows<'_>, &mut [[u32; LANES]; GROUPS]) -> [usize; GROUPS];

/// Returns the kernels that this processor can run, the fastest first.
pub(super) fn available() -> impl Iterator<Item = Kernel> {
    #[cfg(target_arch = "x86_64")]
    let kernels = [
        avx512::is_available().then_some(avx512::decode as Kernel),
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

/// Decodes whole rows, at most a strip, with a kernel of [`available`].
pub(super) fn decode_rows(
    kernel: Kernel,
    decoder: &Decoder,
    groups: &mut [Group<'_>; GROUPS],
    contexts: &[u8],
    symbols: &mut [u8],
) {
    let (contexts, symbols) = (contexts.as_chunks::<ROW>().0, symbols.as_chunks_mut::<ROW>().0);
    let ahead = contexts.len() * LANES + BEYOND;
    let mut states = groups.each_ref().map(|group| group.states);
    let words = groups.each_mut().map(|group| group.ahead(ahead));
    let known = || contexts.as_flattened().iter().fold(0, |most, &context| most.max(context)) < LANES as u8;
    let zeros = decoder.zeros.filter(|_| known());
    let rows = Rows { slots: &decoder.slots, zeros, words, contexts, symbols };
    // SAFETY: `available` returns only kernels that the processor can run.
    let taken = unsafe { kernel(rows, &mut states) };
    for (group, (states, taken)) in groups.iter_mut().zip(states.into_iter().zip(taken)) {
        group.states = states;
        group.position += taken;
    }
}

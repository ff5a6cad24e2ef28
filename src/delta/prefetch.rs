//! Hints to the processor about bytes that are needed soon. Its own guesses end with each page, and
//! a strip is only a page or two.
#![allow(unsafe_code)]

/// The number of parts of a strip. A processor can wait for a few dozen lines at a time, so that a
/// hint about all of them would be a wait.
pub(crate) const PARTS: usize = 4;

/// Asks for one of [`PARTS`] parts of the first `length` bytes, or fewer where there are not so
/// many; does nothing on processors without a hint. Computations that do not need the bytes should
/// follow.
#[inline]
pub(crate) fn prefetch(bytes: &[u8], length: usize, part: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let bytes = &bytes[..length.min(bytes.len())];
        let range = bytes.len() * part / PARTS..bytes.len() * (part + 1) / PARTS;
        for line in bytes[range].chunks(LINE) {
            // SAFETY: every x86_64 processor has the instruction, which reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, length, part);
}

/// Asks for the element at `place`, if there is one; does nothing on processors without a hint.
#[inline(always)]
pub(crate) fn prefetch_one<T>(elements: &[T], place: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = elements.get(place) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86_64 processor has the instruction, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (elements, place);
}

/// Bytes that a processor loads at a time.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

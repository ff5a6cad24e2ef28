//! A base and a BITXv001 archive.
#![no_main]

use bitx_fuzz::{input, restore};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut archive = data;
    let base = input::prefixed(&mut archive);
    let _ = restore(base, archive);
});

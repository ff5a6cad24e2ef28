//! A base and a BITXv002 archive whose checksums are repaired.
#![no_main]

use bitx_fuzz::{archive, compare, input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let base = input::prefixed(&mut rest);
    let mut archive = rest.to_vec();
    archive::repair(&mut archive);
    compare(base, &archive);
});

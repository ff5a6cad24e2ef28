//! A file is opened as whatever it may be taken for.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| bitx_fuzz::open_as_anything(data));

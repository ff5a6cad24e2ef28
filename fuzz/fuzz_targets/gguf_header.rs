//! A GGUF file, without its magic, is opened.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| bitx_fuzz::open_as_anything(&[b"GGUF", data].concat()));

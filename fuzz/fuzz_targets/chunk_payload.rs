//! A chunk's payload: the core and the reference decoder must make the same of it.
#![no_main]

use bitx_fuzz::input::{self, Type};
use bitx_fuzz::payload;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let kind = Type::read(&mut rest);
    // zstd is the business of others: delta and solo.
    let method = 3 + input::byte(&mut rest) % 2;
    let weights = kind.weights(input::byte(&mut rest));
    if !weights.is_empty() {
        payload::compare(&kind, method, &weights, rest);
    }
});

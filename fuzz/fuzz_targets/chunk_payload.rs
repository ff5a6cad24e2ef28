//! A chunk's payload, and factors if it is predicted: the core and the reference decoder must make
//! the same of it.
#![no_main]

use bitx_fuzz::input::{self, Type};
use bitx_fuzz::payload;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let kind = Type::read(&mut rest);
    let method = input::method(&mut rest);
    let weights = kind.weights(input::byte(&mut rest));
    let factors = if method == bitx_fuzz::archive::PREDICTED { input::prefixed(&mut rest) } else { &[] };
    if !weights.is_empty() {
        payload::compare(&kind, method, &weights, factors, rest);
    }
});

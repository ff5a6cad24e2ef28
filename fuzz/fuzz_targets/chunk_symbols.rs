//! Payloads that decode: each table has one symbol that is certain, so that streams are their states.
//!
//! What the symbols make of the base, in every model and type, raw bits included.
#![no_main]

use bitx_fuzz::input::{self, Type};
use bitx_fuzz::payload;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let kind = Type::read(&mut rest);
    let method = 3 + input::byte(&mut rest) % 2;
    let weights = kind.weights(input::byte(&mut rest));
    if !weights.is_empty() {
        let payload = payload::build(&kind, method, &weights, rest);
        payload::compare(&kind, method, &weights, &payload);
    }
});

//! Payloads that decode: what symbols make of the base, in every model and type, factors and raw
//! bits included.
#![no_main]

use bitx_fuzz::input::{self, Type};
use bitx_fuzz::{build, payload};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let kind = Type::read(&mut rest);
    let method = input::method(&mut rest);
    let weights = kind.weights(input::byte(&mut rest));
    if !weights.is_empty() {
        let [factors, payload] = build::payload(&kind, method, &weights, rest);
        payload::compare(&kind, method, &weights, &factors, &payload);
    }
});

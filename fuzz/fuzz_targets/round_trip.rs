//! A base and a target, as two files or as the weights of a tensor: what was compressed comes back.
#![no_main]

use bitx_fuzz::input::{self, Type};
use bitx_fuzz::{compress, reference, restore};
use bitx_wasm::{Effort, Format};
use libfuzzer_sys::fuzz_target;

fn round_trip(base: &[u8], target: &[u8], format: Format) {
    let Ok(archive) = compress(base, target, format) else { return };
    if let Some(restored) = restore(base, &archive) {
        assert!(restored.unwrap() == target);
    }
    if format != (Format::V1 { level: 3 }) {
        assert!(reference::restore(&[base], &archive).unwrap() == target);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let choice = input::byte(&mut rest);
    let format = match choice & 3 {
        0 => Format::V1 { level: 3 },
        1 => Format::V2 { effort: Effort::Fast },
        2 => Format::V2 { effort: Effort::Default },
        _ => Format::V2 { effort: Effort::Max },
    };
    if choice & 4 == 0 {
        let base = input::prefixed(&mut rest);
        return round_trip(base, rest, format);
    }
    let kind = Type::read(&mut rest);
    let weights = kind.weights(choice);
    // The input is what was added to the base, over and over.
    let moved = weights.iter().zip(rest.iter().cycle()).map(|(weight, add)| weight.wrapping_add(*add));
    let moved: Vec<u8> = moved.collect();
    if moved.len() == weights.len() {
        round_trip(&kind.file(&weights), &kind.file(&moved), format);
        round_trip(b"", &kind.file(&moved), format);
    }
});

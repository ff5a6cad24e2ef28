//! A base and a target, as two files or as the weights of a tensor: what was compressed comes back.
#![no_main]

use bitx::{Effort, Format};
use bitx_fuzz::archive::PREDICTED;
use bitx_fuzz::input::{self, Type};
use bitx_fuzz::{build, compress, payload, reference, restore};
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
    if weights.is_empty() {
        return;
    }
    let moved: Vec<u8> = if choice & 8 == 0 {
        // The input is what was added to the base, over and over.
        weights.iter().zip(rest.iter().cycle()).map(|(weight, add)| weight.wrapping_add(*add)).collect()
    } else {
        // The input is factors, and what comes on top of them.
        let [factors, payload] = build::payload(&kind, PREDICTED, &weights, rest);
        payload::expected(&kind, PREDICTED, &weights, &factors, &payload).1.unwrap_or_default()
    };
    if moved.len() == weights.len() {
        round_trip(&kind.file(&weights), &kind.file(&moved), format);
        round_trip(b"", &kind.file(&moved), format);
    }
});
